"""Every event on Kafka: one topic per type, CloudEvents 1.0 in binary mode, JSON data. One file per type.

banking_api tells of accounts and money, user_api of users.

The names of users in banking_api's events are filled in by its relay when it publishes (docs/adr/0004), so
they may be null only when the user is unknown to user_api. `sequence` is the account's own number of what
happened to it: its entries and its changes take one each, in turn. The key of a record is the account that
money leaves, or the customer's if the other side is the bank's: only the numbers put in order what an account
receives (docs/adr/0023). The key of an event about a user is the user.
"""
