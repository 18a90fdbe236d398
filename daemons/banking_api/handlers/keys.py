"""Where handlers find the services in their application."""

from uuid import UUID

from aiohttp import web

from daemons.banking_api.services.accounts import Accounts
from daemons.banking_api.services.proof import LedgerProver
from daemons.banking_api.services.published_events import PublishedEvents
from daemons.banking_api.services.republish_events import EventRepublisher
from daemons.banking_api.services.second_person import SecondPerson
from daemons.banking_api.services.statements import Statements
from daemons.banking_api.services.succession import Succession
from daemons.banking_api.services.transfers import Transfers
from daemons.banking_api.storage.user_directory import UserDirectory
from daemons.shared.http.rates import RowLimit
from daemons.shared.outbox.relay import Relay
from daemons.shared.outbox.store import OutboxStore

BANK_ID_KEY = web.AppKey("bank_id", UUID)
ACCOUNTS_KEY = web.AppKey("accounts", Accounts)
OUTBOX_KEY = web.AppKey("outbox", OutboxStore)
REPUBLISHER_KEY = web.AppKey("republisher", EventRepublisher)
RELAY_KEY = web.AppKey("relay", Relay)
TRANSFERS_KEY = web.AppKey("transfers", Transfers)
SECOND_PERSON_KEY = web.AppKey("second_person", SecondPerson)
SUCCESSION_KEY = web.AppKey("succession", Succession)
ROW_LIMIT_KEY = web.AppKey("row_limit", RowLimit)
STATEMENTS_KEY = web.AppKey("statements", Statements)
DIRECTORY_KEY = web.AppKey("directory", UserDirectory)
PUBLISHED_KEY = web.AppKey("published_events", PublishedEvents)
PROVER_KEY = web.AppKey("prover", LedgerProver)
