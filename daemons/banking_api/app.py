"""The composition root: every part of banking_api is made, started and stopped here."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from uuid import UUID

import httpx
import structlog
from aiohttp import web

import daemons.banking_api.accounts.routes as account_routes
import daemons.banking_api.books.routes as book_routes
import daemons.banking_api.transactions.routes as transaction_routes
from daemons.banking_api.accounts.number import LARGEST_PAYLOAD, SMALLEST_PAYLOAD
from daemons.banking_api.accounts.service import Accounts
from daemons.banking_api.acts import ActRecorder
from daemons.banking_api.books import checkpoint_routes
from daemons.banking_api.books.checkpoints import Checkpoints
from daemons.banking_api.books.distribution import CheckpointDistribution, into_folder
from daemons.banking_api.books.events import EventEncoder, topic_of
from daemons.banking_api.books.origins import EventOrigins
from daemons.banking_api.books.proof import LedgerProver
from daemons.banking_api.books.proven_states import ProvenStates
from daemons.banking_api.books.published import PublishedEvents
from daemons.banking_api.books.rebuild import AccountRebuilder
from daemons.banking_api.books.receipts import Receipts
from daemons.banking_api.books.republish import EventRepublisher
from daemons.banking_api.books.snapshot import SnapshotOpener
from daemons.banking_api.books.unpublished import Unpublished
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
from daemons.banking_api.transactions.confirmation import ConfirmationPolicy
from daemons.banking_api.transactions.explanation import Explanations
from daemons.banking_api.transactions.models import ATOMIC_LIMIT
from daemons.banking_api.transactions.service import Transactions
from daemons.banking_api.transactions.statements import Statements
from daemons.banking_api.user_directory import UserDirectory
from daemons.contracts.kafka_accounts import BANKING_TOPICS
from daemons.contracts.permissions import Permission
from daemons.shared.approvals.approvals import Approvals
from daemons.shared.approvals.routes import APPROVALS_KEY, approval_routes
from daemons.shared.approvals.store import APPROVAL, MongoApprovals
from daemons.shared.audit.reading_routes import reading_routes
from daemons.shared.audit.readings import READINGS_KEY, Readings
from daemons.shared.audit.refusals import RefusalRecorder
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
from daemons.shared.mongo import Client, Database, application_name, connect, ping
from daemons.shared.startup import wait_until_done
from daemons.shared.tasks import end_task

DAEMON = "banking_api"
_USER_API_TIMEOUT_SECONDS = 5.0
_log = structlog.get_logger()


def build(settings: BankingSettings) -> web.Application:
    """Wire the daemon; nothing is connected before the application starts."""
    bank = _Bank(settings)
    app = build_app(
        DAEMON,
        settings,
        # Not Kafka: transfers go on without it, their events wait in the journal.
        probes={"mongodb": lambda: ping(bank.database)},
        notices={"events": lambda: _relay_notice(app)},
        routes=[
            account_routes.routes,
            transaction_routes.routes,
            book_routes.routes,
            checkpoint_routes.routes,
            audit_routes("ledger"),
            reading_routes("ledger"),
            approval_routes(account_routes.APPROVALS_AREA, decide=Permission.APPROVE_ACTS),
        ],
    )
    app[AUTHENTICATOR_KEY] = sessions = RemoteSessions(
        bank.user_api, audience=DAEMON, service_tokens=bank.service_tokens
    )
    if settings.payment_confirmation_above:
        app[transaction_routes.CONFIRMATION_KEY] = ConfirmationPolicy(
            settings.payment_confirmation_above, sessions.confirmed, clock=utc_now
        )
    app[AUDIT_KEY] = bank.audit
    app[REFUSALS_KEY] = RefusalRecorder(bank.audit, clock=utc_now)
    app[APPROVALS_KEY] = bank.approvals
    app[READINGS_KEY] = bank.readings
    app[transaction_routes.ROW_LIMIT_KEY] = RowLimit(settings.row_rate, largest=ATOMIC_LIMIT)
    app[transaction_routes.DIRECTORY_KEY] = bank.directory
    app[book_routes.UNPUBLISHED_KEY] = Unpublished(bank.database)
    app[book_routes.PROVER_KEY] = LedgerProver(
        SnapshotOpener(bank.client, bank.database),
        lambda: app[checkpoint_routes.CHECKPOINTS_KEY],
        ProvenStates(bank.database),
    )
    app[transaction_routes.STATEMENTS_KEY] = Statements(bank.records, bank.accounts, bank.directory)
    app[transaction_routes.EXPLANATIONS_KEY] = Explanations(bank.records, bank.directory)
    app.cleanup_ctx.append(bank.running)
    return app


async def _relay_notice(app: web.Application) -> str | None:
    return app[book_routes.RELAY_KEY].probe()


class _Bank:
    """The parts that are one for the process, and the order in which they start and stop."""

    def __init__(self, settings: BankingSettings) -> None:
        self.settings = settings
        self.service_tokens = settings.service_tokens(DAEMON)
        self.user_api = httpx.AsyncClient(
            base_url=str(settings.user_api_url), timeout=_USER_API_TIMEOUT_SECONDS, trust_env=False
        )
        self.client = connect(settings.mongo_uri, daemon=application_name(DAEMON, settings.mongo_database))
        self.database = self.client[settings.mongo_database]
        self.journal = Journal(self.database)
        self.accounts = AccountReader(self.client, self.database)
        self.records = RecordReader(self.client, self.database, kinds=TRANSACTION_KINDS)
        self.user_cache = settings.user_cache
        self.directory = UserDirectory(self.user_api, self.service_tokens, cache=self.user_cache)
        self.audit = MongoAuditTrail(self.database, chain=DAEMON, guarded=[APPROVAL])
        self.readings = Readings(
            self.database, self.audit, hours=settings.staff_policy.reading_hours, clock=utc_now
        )
        self.approval_store = MongoApprovals(self.database)
        self.approvals = Approvals(
            self.client,
            self.approval_store,
            self.audit,
            standings=self.directory.standings,
            policy=settings.staff_policy,
            clock=utc_now,
        )

    async def running(self, app: web.Application) -> AsyncIterator[None]:
        """Run the bank while the application serves."""
        settings = self.settings
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.client.close)
            await stack.enter_async_context(self.user_api)
            if self.user_cache is not None:
                stack.push_async_callback(self.user_cache.close)
            await wait_until_done(lambda: ensure_schema(self.database))
            app[book_routes.BANK_ID_KEY] = bank_id = await wait_until_done(
                lambda: ensure_bank_id(self.database)
            )
            await wait_until_done(self.audit.prepare)
            await wait_until_done(self.approval_store.prepare)
            await wait_until_done(self.readings.prepare)
            app[book_routes.REBUILDER_KEY] = AccountRebuilder(
                self.client, self.database, self.audit, clock=utc_now
            )
            app[book_routes.LEASE_KEY] = lease = Lease(self.database, new_id())
            checkpoints = Checkpoints(self.database, settings.checkpoint_keys(bank_id), clock=utc_now)
            app[checkpoint_routes.CHECKPOINTS_KEY] = checkpoints
            app[checkpoint_routes.RECEIPTS_KEY] = Receipts(self.database, checkpoints, clock=utc_now)
            feed = Feed(self.journal, topic_of)
            app[book_routes.RELAY_KEY] = relay = self._publishing(app, stack, feed, bank_id)
            distribution = self._distribution(checkpoints)
            ledger = await self._start_ledger(stack, lease, feed, relay, distribution)
            app[account_routes.ACCOUNTS_KEY] = Accounts(
                ledger,
                self.accounts,
                self.approvals,
                settings.staff_policy,
                clock=utc_now,
                new_id=new_id,
                draw_payload=_draw_payload,
                most_per_user=settings.accounts_per_user,
            )
            app[transaction_routes.TRANSACTIONS_KEY] = Transactions(
                ledger,
                self.accounts,
                self.records,
                self.approvals,
                settings.staff_policy,
                clock=utc_now,
            )
            _log.info("ready", port=settings.port)
            yield

    def _publishing(self, app: web.Application, stack: AsyncExitStack, feed: Feed, bank_id: UUID) -> Relay:
        kafka = self.settings.kafka
        producer = EventProducer(kafka, client_id=DAEMON)
        stack.push_async_callback(producer.close)
        encoder = EventEncoder(self.directory, bank_id=bank_id)
        app[book_routes.PUBLISHED_KEY] = published = PublishedEvents(
            kafka, EventOrigins(self.database), self.client, self.audit, bank_id=bank_id, clock=utc_now
        )
        app[book_routes.REPUBLISHER_KEY] = EventRepublisher(
            self.client, self.journal, encoder.encode, producer, self.audit, clock=utc_now
        )
        return Relay(
            self.database,
            feed,
            producer,
            encoder.encode,
            topics=BANKING_TOPICS,
            prepare=lambda: ensure_topics(kafka, BANKING_TOPICS),
            compare=published.compare,
        )

    def _distribution(self, checkpoints: Checkpoints) -> CheckpointDistribution:
        folder = self.settings.checkpoint_folder
        distribution = CheckpointDistribution(
            self.database,
            checkpoints,
            {} if folder is None else {"folder": into_folder(folder)},
            every=timedelta(hours=self.settings.checkpoint_hours),
            clock=utc_now,
        )
        checkpoints.made = distribution.wake
        return distribution

    async def _start_ledger(
        self,
        stack: AsyncExitStack,
        lease: Lease,
        feed: Feed,
        relay: Relay,
        distribution: CheckpointDistribution,
    ) -> LedgerNode:
        settings = self.settings
        recorder = ActRecorder(self.audit, self.approvals)

        def committed(seal: Seal, records: Sequence[Record]) -> None:
            feed.add(seal, records)
            relay.wake()

        @asynccontextmanager
        async def run(fenced: Callable[[], None]) -> AsyncIterator[Pipeline]:
            await relay.start()
            await distribution.start()
            try:
                # Last in, first out: the ledger settles what waits while the relay still runs.
                async with running_ledger(
                    self.client, self.database, committed=committed, write_acts=recorder.write, fenced=fenced
                ) as pipeline:
                    yield pipeline
            finally:
                await distribution.close()
                await relay.close()

        tls = settings.ledger_tls
        server = LedgerServer(
            KINDS, verify=settings.own_tokens(DAEMON).verify, find_approval=self.approvals.fetch
        )
        port = await server.start(settings.ledger_host, settings.ledger_port, tls)
        stack.push_async_callback(server.close)
        ledger = LedgerNode(
            lease,
            server,
            run,
            token=lambda: self.service_tokens.header_for(DAEMON)[SERVICE_TOKEN_HEADER],
            tls=tls,
        )
        await wait_until_done(lambda: ledger.start(f"{settings.ledger_address}:{port}"))
        stack.push_async_callback(ledger.close)
        return ledger


@asynccontextmanager
async def running_ledger(
    client: Client,
    database: Database,
    *,
    committed: Committed,
    write_acts: WriteActs | None = None,
    fenced: Callable[[], None] = lambda: None,
    journal: Journal | None = None,
) -> AsyncIterator[Pipeline]:
    """Run the ledger; at the end it settles what waits, and writes down what only it knows."""
    journal = journal or Journal(database)
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
        warming_up = asyncio.create_task(cache.warm_up(), name="ledger-warm-up")
        stack.push_async_callback(end_task, warming_up)
        stack.push_async_callback(pipeline.close)
        yield pipeline


def _draw_payload() -> int:
    """Draw nine digits that nobody can guess from another account's."""
    return SMALLEST_PAYLOAD + secrets.randbelow(LARGEST_PAYLOAD - SMALLEST_PAYLOAD + 1)
