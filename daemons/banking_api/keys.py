"""Where routes find the services in their application."""

from uuid import UUID

from aiohttp import web

from daemons.banking_api.accounts.service import Accounts
from daemons.banking_api.books.proof import LedgerProver
from daemons.banking_api.books.published import PublishedEvents
from daemons.banking_api.books.republish import EventRepublisher
from daemons.banking_api.books.unpublished import Unpublished
from daemons.banking_api.ledger.node import LedgerNode
from daemons.banking_api.ledger.relay import Relay
from daemons.banking_api.transactions.service import Transactions
from daemons.banking_api.transactions.statements import Statements
from daemons.banking_api.user_directory import UserDirectory
from daemons.shared.http.rates import RowLimit

BANK_ID_KEY = web.AppKey("bank_id", UUID)
ACCOUNTS_KEY = web.AppKey("accounts", Accounts)
TRANSACTIONS_KEY = web.AppKey("transactions", Transactions)
STATEMENTS_KEY = web.AppKey("statements", Statements)
LEDGER_KEY = web.AppKey("ledger", LedgerNode)
ROW_LIMIT_KEY = web.AppKey("row_limit", RowLimit)
DIRECTORY_KEY = web.AppKey("directory", UserDirectory)
RELAY_KEY = web.AppKey("relay", Relay)
UNPUBLISHED_KEY = web.AppKey("unpublished", Unpublished)
PUBLISHED_KEY = web.AppKey("published_events", PublishedEvents)
REPUBLISHER_KEY = web.AppKey("republisher", EventRepublisher)
PROVER_KEY = web.AppKey("prover", LedgerProver)
