"""The composition root: every part of banking_api is made, started and stopped here."""

import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import structlog
from aiohttp import web

import daemons.banking_api.accounts.routes as account_routes
import daemons.banking_api.books.routes as book_routes
import daemons.banking_api.transactions.routes as transaction_routes
from daemons.banking_api.accounts.number import LARGEST_PAYLOAD, SMALLEST_PAYLOAD
from daemons.banking_api.accounts.service import Accounts
from daemons.banking_api.acts import ActRecorder
from daemons.banking_api.books.events import EventEncoder, topic_of
from daemons.banking_api.books.origins import EventOrigins
from daemons.banking_api.books.proof import LedgerProver
from daemons.banking_api.books.published import PublishedEvents
from daemons.banking_api.books.republish import EventRepublisher
from daemons.banking_api.books.snapshot import SnapshotOpener
from daemons.banking_api.books.unpublished import Unpublished
from daemons.banking_api.keys import (
    ACCOUNTS_KEY,
    BANK_ID_KEY,
    DIRECTORY_KEY,
    LEDGER_KEY,
    PROVER_KEY,
    PUBLISHED_KEY,
    RELAY_KEY,
    REPUBLISHER_KEY,
    ROW_LIMIT_KEY,
    STATEMENTS_KEY,
    TRANSACTIONS_KEY,
    UNPUBLISHED_KEY,
)
from daemons.banking_api.kinds.table import KINDS, TRANSACTION_KINDS
from daemons.banking_api.ledger.account_cache import AccountCache
from daemons.banking_api.ledger.journal import Journal
from daemons.banking_api.ledger.lease import Lease
from daemons.banking_api.ledger.node import LedgerNode
from daemons.banking_api.ledger.pipeline import Committed, Pipeline, WriteActs
from daemons.banking_api.ledger.readers import AccountReader, RecordReader
from daemons.banking_api.ledger.record import Record
from daemons.banking_api.ledger.relay import Feed, Relay
from daemons.banking_api.ledger.schema import ensure_bank_id, ensure_schema
from daemons.banking_api.ledger.seal import Seal
from daemons.banking_api.ledger.server import LedgerServer
from daemons.banking_api.settings import BankingSettings
from daemons.banking_api.transactions.models import ATOMIC_LIMIT
from daemons.banking_api.transactions.service import Transactions
from daemons.banking_api.transactions.statements import Statements
from daemons.banking_api.user_directory import UserDirectory
from daemons.contracts.kafka_accounts import TOPICS
from daemons.contracts.permissions import Permission
from daemons.shared.approvals.approvals import Approvals
from daemons.shared.approvals.routes import APPROVALS_KEY, approval_routes
from daemons.shared.approvals.store import MongoApprovals
from daemons.shared.audit.refusals import RefusalWitness
from daemons.shared.audit.routes import AUDIT_KEY, audit_routes
from daemons.shared.audit.trail import MongoAuditTrail
from daemons.shared.auth.remote_sessions import RemoteSessions
from daemons.shared.auth.service_tokens import SERVICE_TOKEN_HEADER
from daemons.shared.clock import utc_now
from daemons.shared.http.app import build_app
from daemons.shared.http.rates import RowLimit
from daemons.shared.http.routes import AUTHENTICATOR_KEY, REFUSALS_KEY
from daemons.shared.ids import new_id
from daemons.shared.kafka.producer import EventProducer
from daemons.shared.kafka.topics import ensure_topics
from daemons.shared.mongo import Client, Database, connect, ping
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
    journal = Journal(database)
    accounts = AccountReader(client, database)
    records = RecordReader(client, database, kinds=TRANSACTION_KINDS)
    directory = UserDirectory(user_api, service_tokens)
    audit = MongoAuditTrail(database, chain=DAEMON)
    approval_store = MongoApprovals(database)
    approvals = Approvals(client, approval_store, audit, standings=directory.standings, clock=utc_now)

    async def relay_notice() -> str | None:
        return app[RELAY_KEY].probe()

    app = build_app(
        DAEMON,
        settings,
        # Not Kafka: transfers go on without it, their events wait in the journal.
        probes={"mongodb": lambda: ping(database)},
        notices={"events": relay_notice},
        routes=[
            account_routes.routes,
            transaction_routes.routes,
            book_routes.routes,
            audit_routes("ledger"),
            approval_routes(account_routes.APPROVALS_AREA, decide=Permission.APPROVE_ACTS),
        ],
    )
    app[AUTHENTICATOR_KEY] = RemoteSessions(user_api, audience=DAEMON, service_tokens=service_tokens)
    app[AUDIT_KEY] = audit
    app[REFUSALS_KEY] = RefusalWitness(audit, clock=utc_now)
    app[APPROVALS_KEY] = approvals
    app[ROW_LIMIT_KEY] = RowLimit(settings.row_rate, largest=ATOMIC_LIMIT)
    app[DIRECTORY_KEY] = directory
    app[UNPUBLISHED_KEY] = Unpublished(database)
    app[PROVER_KEY] = LedgerProver(SnapshotOpener(client, database))
    app[STATEMENTS_KEY] = Statements(records, accounts, directory)

    async def lifespan(app: web.Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(client.close)
            await stack.enter_async_context(user_api)
            await wait_until_done(lambda: ensure_schema(database))
            app[BANK_ID_KEY] = bank_id = await wait_until_done(lambda: ensure_bank_id(database))
            await wait_until_done(audit.prepare)
            await wait_until_done(approval_store.prepare)
            producer = EventProducer(settings.kafka, client_id=DAEMON)
            stack.push_async_callback(producer.close)
            encoder = EventEncoder(directory, bank_id=bank_id)
            app[PUBLISHED_KEY] = published = PublishedEvents(
                settings.kafka, EventOrigins(database), client, audit, bank_id=bank_id, clock=utc_now
            )
            app[REPUBLISHER_KEY] = EventRepublisher(
                client, journal, encoder.encode, producer, audit, clock=utc_now
            )
            feed = Feed(journal, topic_of)
            app[RELAY_KEY] = relay = Relay(
                database,
                feed,
                producer,
                encoder.encode,
                topics=TOPICS,
                prepare=lambda: ensure_topics(settings.kafka, TOPICS),
                compare=published.compare,
            )

            def committed(seal: Seal, records: Sequence[Record]) -> None:
                feed.add(seal, records)
                relay.wake()

            @asynccontextmanager
            async def run(fenced: Callable[[], None]) -> AsyncIterator[Pipeline]:
                await relay.start()
                try:
                    # Last in, first out: the ledger settles what waits while the relay still runs.
                    recorder = ActRecorder(audit, approvals)
                    async with running_ledger(
                        client,
                        database,
                        committed=committed,
                        write_acts=recorder.write,
                        fenced=fenced,
                    ) as pipeline:
                        yield pipeline
                finally:
                    await relay.close()

            server = LedgerServer(
                KINDS, verify=settings.own_tokens(DAEMON).verify, find_approval=approvals.fetch
            )
            port = await server.start(settings.ledger_host, settings.ledger_port, None)
            stack.push_async_callback(server.close)
            own_id = new_id()
            ledger = LedgerNode(
                Lease(database, own_id),
                server,
                run,
                own_id=own_id,
                token=lambda: service_tokens.header_for(DAEMON)[SERVICE_TOKEN_HEADER],
            )
            await wait_until_done(lambda: ledger.start(f"{settings.ledger_host}:{port}"))
            stack.push_async_callback(ledger.close)
            app[LEDGER_KEY] = ledger
            app[ACCOUNTS_KEY] = Accounts(
                ledger,
                accounts,
                approvals,
                settings,
                clock=utc_now,
                new_id=new_id,
                draw_payload=_draw_payload,
                most_per_user=settings.accounts_per_user,
            )
            app[TRANSACTIONS_KEY] = Transactions(
                ledger, accounts, records, approvals, settings, clock=utc_now
            )
            _log.info("ready", port=settings.port)
            yield

    app.cleanup_ctx.append(lifespan)
    return app


@asynccontextmanager
async def running_ledger(
    client: Client,
    database: Database,
    *,
    committed: Committed,
    write_acts: WriteActs | None = None,
    fenced: Callable[[], None] = lambda: None,
) -> AsyncIterator[Pipeline]:
    """Run the ledger; at the end it settles what waits, and writes down what only it knows."""
    journal = Journal(database)
    cache = AccountCache(database, journal)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(cache.write_down)
        pipeline = Pipeline(
            client,
            journal,
            cache,
            clock=utc_now,
            committed=committed,
            write_acts=write_acts,
            fenced=fenced,
        )
        pipeline.start()
        stack.push_async_callback(pipeline.close)
        yield pipeline


def _draw_payload() -> int:
    """Draw nine digits that nobody can guess from another account's."""
    return SMALLEST_PAYLOAD + secrets.randbelow(LARGEST_PAYLOAD - SMALLEST_PAYLOAD + 1)
