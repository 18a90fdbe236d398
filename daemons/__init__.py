"""The three daemons of the bank and what they share.

`contracts` holds what travels between processes, `shared` the plumbing without banking words;
each daemon is a package of its own with the layers handlers, services, storage and domain.
"""
