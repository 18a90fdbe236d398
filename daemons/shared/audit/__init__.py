"""Who did what to whom, when, why and from where: a hash-chained trail in each daemon's own database.

A record is written in the transaction of the act that it describes (docs/adr/0009).
"""
