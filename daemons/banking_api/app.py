"""The composition root: every part of banking_api is made, started and stopped here."""

import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import structlog
from aiohttp import web

from daemons.banking_api.domain.account_number import LARGEST_PAYLOAD, SMALLEST_PAYLOAD
from daemons.banking_api.domain.journal import JournalTransaction
from daemons.banking_api.handlers import accounts, ledger, transactions
from daemons.banking_api.handlers.keys import (
    ACCOUNTS_KEY,
    BANK_ID_KEY,
    DIRECTORY_KEY,
    OUTBOX_KEY,
    PROVER_KEY,
    PUBLISHED_KEY,
    RELAY_KEY,
    REPUBLISHER_KEY,
    ROW_LIMIT_KEY,
    SECOND_PERSON_KEY,
    STATEMENTS_KEY,
    SUCCESSION_KEY,
    TRANSFERS_KEY,
)
from daemons.banking_api.handlers.schemas import ATOMIC_LIMIT
from daemons.banking_api.services.accounts import Accounts
from daemons.banking_api.services.adjustments import Adjustments
from daemons.banking_api.services.commit_engine import CommitEngine
from daemons.banking_api.services.events import EventEncoder
from daemons.banking_api.services.proof import LedgerProver
from daemons.banking_api.services.published_events import PublishedEvents
from daemons.banking_api.services.republish_events import EventRepublisher
from daemons.banking_api.services.second_person import SecondPerson
from daemons.banking_api.services.statements import Statements
from daemons.banking_api.services.succession import Succession
from daemons.banking_api.services.transfers import Transfers
from daemons.banking_api.services.witness import AccountWitness, BookingWitness
from daemons.banking_api.settings import BankingSettings
from daemons.banking_api.storage.account_history import AccountHistory
from daemons.banking_api.storage.event_origins import EventOrigins
from daemons.banking_api.storage.just_committed import JustCommitted
from daemons.banking_api.storage.ledger_snapshot import SnapshotOpener
from daemons.banking_api.storage.ledger_writers import LedgerWriters
from daemons.banking_api.storage.mongo_accounts import MongoAccounts
from daemons.banking_api.storage.mongo_fundings_alone import MongoFundingsAlone
from daemons.banking_api.storage.mongo_journal import MongoJournal
from daemons.banking_api.storage.mongo_ledger import MongoLedger, Witness
from daemons.banking_api.storage.schema import ensure_bank_id, ensure_schema
from daemons.banking_api.storage.user_directory import UserDirectory
from daemons.contracts.kafka_accounts import TOPICS
from daemons.contracts.permissions import Permission
from daemons.shared.approvals.approvals import Approvals
from daemons.shared.approvals.routes import APPROVALS_KEY, approval_routes
from daemons.shared.approvals.store import MongoApprovals
from daemons.shared.audit.refusals import RefusalWitness
from daemons.shared.audit.routes import AUDIT_KEY, audit_routes
from daemons.shared.audit.trail import MongoAuditTrail
from daemons.shared.auth.remote_sessions import RemoteSessions
from daemons.shared.clock import utc_now
from daemons.shared.http.app import build_app
from daemons.shared.http.rates import RowLimit
from daemons.shared.http.routes import AUTHENTICATOR_KEY, REFUSALS_KEY
from daemons.shared.ids import new_id
from daemons.shared.kafka.producer import EventProducer
from daemons.shared.kafka.topics import ensure_topics
from daemons.shared.mongo import Client, Database, connect, ping
from daemons.shared.outbox.relay import Relay
from daemons.shared.outbox.store import OutboxStore
from daemons.shared.startup import wait_until_done

DAEMON = "banking_api"
_USER_API_TIMEOUT_SECONDS = 5.0
_log = structlog.get_logger()


def build(settings: BankingSettings) -> web.Application:
    """Wire the daemon; nothing is connected before the application starts."""
    service_tokens = settings.service_tokens(DAEMON)
    client = connect(settings.mongo_uri, daemon=DAEMON)
    database = client[settings.mongo_database]
    user_api = httpx.AsyncClient(
        base_url=str(settings.user_api_url), timeout=_USER_API_TIMEOUT_SECONDS, trust_env=False
    )
    outbox = OutboxStore(database)
    account_store = MongoAccounts(client, database, outbox, most_per_user=settings.accounts_per_user)
    journal = MongoJournal(database)
    directory = UserDirectory(user_api, service_tokens)
    audit = MongoAuditTrail(database, chain=DAEMON)
    approval_store = MongoApprovals(database)
    approvals = Approvals(client, approval_store, audit, standings=directory.standings, clock=utc_now)

    app = build_app(
        DAEMON,
        settings,
        # Not Kafka: transfers go on without it, their events wait in the outbox.
        probes={"mongodb": lambda: ping(database)},
        notices={"events": lambda: app[RELAY_KEY].probe()},  # noqa: PLW0108 - the relay is made later
        routes=[
            accounts.routes,
            transactions.routes,
            ledger.routes,
            audit_routes("ledger"),
            approval_routes(accounts.APPROVALS_AREA, decide=Permission.APPROVE_ACTS),
        ],
    )
    app[AUTHENTICATOR_KEY] = RemoteSessions(user_api, audience=DAEMON, service_tokens=service_tokens)
    app[AUDIT_KEY] = audit
    app[REFUSALS_KEY] = RefusalWitness(audit, clock=utc_now)
    app[APPROVALS_KEY] = approvals
    app[SUCCESSION_KEY] = Succession()
    app[ROW_LIMIT_KEY] = RowLimit(settings.row_rate, largest=ATOMIC_LIMIT)
    app[DIRECTORY_KEY] = directory
    app[OUTBOX_KEY] = outbox
    app[PROVER_KEY] = LedgerProver(SnapshotOpener(client, database, outbox))

    async def lifespan(app: web.Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(client.close)
            await stack.enter_async_context(user_api)
            await wait_until_done(lambda: ensure_schema(database))
            app[BANK_ID_KEY] = await wait_until_done(lambda: ensure_bank_id(database))
            await wait_until_done(audit.prepare)
            await wait_until_done(approval_store.prepare)
            producer = EventProducer(settings.kafka, client_id=DAEMON)
            stack.push_async_callback(producer.close)
            just_committed = JustCommitted(journal)
            app[PUBLISHED_KEY] = published = PublishedEvents(
                settings.kafka,
                EventOrigins(database),
                client,
                audit,
                bank_id=app[BANK_ID_KEY],
                clock=utc_now,
            )
            app[RELAY_KEY] = relay = Relay(
                outbox,
                producer,
                EventEncoder(just_committed, directory, bank_id=app[BANK_ID_KEY]).encode,
                prepare=lambda: ensure_topics(settings.kafka, TOPICS),
                compare=published.compare,
            )
            app[REPUBLISHER_KEY] = EventRepublisher(
                client, journal, outbox, audit, on_owed=relay.wake, clock=utc_now
            )
            relay.start()
            stack.push_async_callback(relay.close)

            def committed(transactions: Sequence[JournalTransaction]) -> None:
                just_committed.add(transactions)
                relay.wake()

            # Last in, first out: the engine settles what waits while relay and producer still run.
            ledger_store, engine = await stack.enter_async_context(
                running_ledger(
                    client,
                    database,
                    outbox,
                    committed,
                    witness=BookingWitness(audit, approvals, MongoFundingsAlone(database)),
                )
            )
            app[ACCOUNTS_KEY] = Accounts(
                account_store,
                AccountWitness(audit, approvals),
                clock=utc_now,
                new_id=new_id,
                draw_payload=_draw_payload,
                holding_back_payments=engine.holding_back,
            )
            app[STATEMENTS_KEY] = Statements(journal, AccountHistory(database), app[ACCOUNTS_KEY], directory)
            app[TRANSFERS_KEY] = Transfers(engine, ledger_store, account_store, clock=utc_now, new_id=new_id)
            app[SECOND_PERSON_KEY] = SecondPerson(
                app[ACCOUNTS_KEY],
                app[TRANSFERS_KEY],
                Adjustments(ledger_store, account_store, journal, clock=utc_now, new_id=new_id),
                approvals,
                settings,
            )
            _log.info("ready", port=settings.port)
            yield

    app.cleanup_ctx.append(lifespan)
    return app


@asynccontextmanager
async def running_ledger(
    client: Client,
    database: Database,
    outbox: OutboxStore,
    committed: Callable[[Sequence[JournalTransaction]], None],
    *,
    witness: Witness | None = None,
) -> AsyncIterator[tuple[MongoLedger, CommitEngine]]:
    """Run the ledger and the engine that posts to it; at the end it settles what waits."""
    async with AsyncExitStack() as stack:
        writers = await stack.enter_async_context(LedgerWriters(database).signed_on())
        ledger = MongoLedger(client, database, outbox, writers, witness)
        ledger.start()
        stack.push_async_callback(ledger.close)
        engine = CommitEngine(ledger, clock=utc_now, new_id=new_id, committed=committed)
        engine.start()
        stack.push_async_callback(engine.close)
        yield ledger, engine


def _draw_payload() -> int:
    """Draw nine digits that nobody can guess from another account's."""
    return SMALLEST_PAYLOAD + secrets.randbelow(LARGEST_PAYLOAD - SMALLEST_PAYLOAD + 1)
