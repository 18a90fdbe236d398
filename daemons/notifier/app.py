"""The composition root: every part of the notifier is made, started and stopped here."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import structlog
from aiohttp import web

import daemons.notifier.dead_letters.routes as dead_letter_routes
import daemons.notifier.deliveries.routes as delivery_routes
import daemons.notifier.event_log.routes as event_routes
import daemons.notifier.messages.routes as message_routes
import daemons.notifier.notifications.routes as notification_routes
import daemons.notifier.preferences.routes as preference_routes
import daemons.notifier.streams.routes as stream_routes
import daemons.notifier.webhooks.routes as webhook_routes
from daemons.contracts.kafka_accounts import NOTIFIER_GROUP, TOPICS
from daemons.notifier.alerts import AlertMessages, OwedToOperators
from daemons.notifier.channels.email import EmailChannel
from daemons.notifier.channels.push import PushChannel
from daemons.notifier.channels.webhook import WebhookChannel, WebhookSender
from daemons.notifier.consumption.recorder import EventRecorder
from daemons.notifier.dead_letters.service import DeadLetters
from daemons.notifier.dead_letters.storage import MongoDeadLetters
from daemons.notifier.deliveries.owing import Owing
from daemons.notifier.deliveries.proof import DeliveryProver
from daemons.notifier.deliveries.service import Deliveries
from daemons.notifier.deliveries.storage import MongoDeliveries
from daemons.notifier.deliveries.worker import LEASE_NAME, DeliveryWorker, Outlet
from daemons.notifier.directory import CachedDirectory, UserApiDirectory, UserDirectory, forget_changed
from daemons.notifier.event_log.history import EventHistory
from daemons.notifier.event_log.proof import EventProver
from daemons.notifier.event_log.reader import MongoEventReader
from daemons.notifier.event_log.service import EventLog
from daemons.notifier.event_log.storage import LogEnd
from daemons.notifier.event_log.summary import EventsSummary
from daemons.notifier.messages.composing import UserMessages
from daemons.notifier.messages.orders import MessageOrders
from daemons.notifier.messages.own import OwnNotices, TestMessages
from daemons.notifier.messages.texts import Texts
from daemons.notifier.notifications.service import Notifications
from daemons.notifier.notifications.storage import MongoNotifications
from daemons.notifier.preferences.owing import OwedToUsers
from daemons.notifier.preferences.preferences import EMAIL
from daemons.notifier.preferences.service import UserPreferences
from daemons.notifier.preferences.storage import MongoPreferences
from daemons.notifier.preferences.unsubscribe import UnsubscribeLinks
from daemons.notifier.schema import ensure_schema
from daemons.notifier.settings import NotifierSettings
from daemons.notifier.streams.follower import EventFollower
from daemons.notifier.streams.streams import EventStreams
from daemons.notifier.unit_of_work import NotifierWork, notifier_work
from daemons.notifier.webhooks.owing import EventMessages, OwedToWebhooks
from daemons.notifier.webhooks.service import Webhooks, WebhookTargets
from daemons.notifier.webhooks.storage import MongoWebhooks
from daemons.shared.audit.reading_routes import reading_routes
from daemons.shared.audit.readings import READINGS_KEY, Readings
from daemons.shared.audit.refusals import RefusalRecorder
from daemons.shared.audit.routes import AUDIT_KEY, audit_routes
from daemons.shared.audit.trail import MongoAuditTrail
from daemons.shared.auth.remote_sessions import RemoteSessions
from daemons.shared.auth.service_tokens import ServiceTokenVerifier
from daemons.shared.clock import Clock, utc_now
from daemons.shared.http.app import build_app
from daemons.shared.http.routes import AUTHENTICATOR_KEY, REFUSALS_KEY
from daemons.shared.ids import new_id
from daemons.shared.kafka.consumer import EventConsumer
from daemons.shared.kafka.records import IncomingRecord
from daemons.shared.kafka.topics import ensure_topics_if_reached, probe_kafka
from daemons.shared.lease import NamedLease
from daemons.shared.mongo import connect, ping
from daemons.shared.startup import wait_until_done
from daemons.shared.tasks import end_task

DAEMON = "notifier"
_USER_API_TIMEOUT = httpx.Timeout(3.0, connect=1.0)
_log = structlog.get_logger()


def build(settings: NotifierSettings, *, clock: Clock = utc_now) -> web.Application:
    """Wire the daemon; nothing is connected before the application starts.

    Args:
        settings: What the environment says.
        clock: The time of administrative acts and refusals.
    """
    bank = _Bank(settings, clock)
    app = build_app(
        DAEMON,
        settings,
        service_tokens=ServiceTokenVerifier(DAEMON, settings.calling_daemons),
        probes={"mongo": lambda: ping(bank.database), "kafka": bank.probe_consumer},
        notices={"webhooks": bank.webhook_targets.notice},
        routes=[
            stream_routes.routes,
            event_routes.routes,
            notification_routes.routes,
            dead_letter_routes.routes,
            message_routes.routes,
            webhook_routes.routes,
            message_routes.internal_routes,
            preference_routes.routes,
            delivery_routes.routes,
            audit_routes("events"),
            reading_routes("events"),
        ],
    )
    app[AUTHENTICATOR_KEY] = bank.sessions
    app[AUDIT_KEY] = bank.audit
    app[REFUSALS_KEY] = RefusalRecorder(bank.audit, clock=clock)
    app[stream_routes.STREAMS_KEY] = EventStreams(bank.follower, bank.sessions, limits=settings.stream_limits)
    app[READINGS_KEY] = bank.readings
    app[event_routes.HISTORY_KEY] = EventHistory(bank.reader)
    app[event_routes.PROVER_KEY] = EventProver(bank.client, bank.database)
    app[event_routes.DELIVERY_PROVER_KEY] = bank.delivery_prover
    app[event_routes.SUMMARY_KEY] = bank.summary
    app[notification_routes.NOTIFICATIONS_KEY] = Notifications(bank.notifications)
    app[message_routes.ORDERS_KEY] = bank.orders
    app[message_routes.OWN_KEY] = bank.own_notices
    app[message_routes.TESTS_KEY] = bank.test_messages
    app[preference_routes.PREFERENCES_KEY] = bank.preferences
    app[delivery_routes.DELIVERIES_KEY] = bank.deliveries
    app[dead_letter_routes.DEAD_LETTERS_KEY] = bank.dead_letters
    app[webhook_routes.WEBHOOKS_KEY] = bank.webhooks
    app.cleanup_ctx.append(bank.running)
    app.on_shutdown.append(_end_streams)
    return app


async def _end_streams(app: web.Application) -> None:
    app[stream_routes.STREAMS_KEY].close()


class _Bank:
    """The parts that are one for the process, and the order in which they start and stop."""

    def __init__(self, settings: NotifierSettings, clock: Clock) -> None:
        self.settings = settings
        self.client = connect(settings.mongo_uri, daemon=DAEMON)
        self.database = self.client[settings.mongo_database]
        self.user_api = httpx.AsyncClient(base_url=str(settings.user_api_url), timeout=_USER_API_TIMEOUT)
        self.sessions = RemoteSessions(
            self.user_api, audience=DAEMON, service_tokens=settings.service_tokens(DAEMON)
        )
        self.user_cache = settings.user_cache
        self.audit = MongoAuditTrail(self.database, chain=DAEMON)
        self.readings = Readings(
            self.database, self.audit, hours=settings.staff_policy.reading_hours, clock=clock
        )
        self.reader = MongoEventReader(self.database)
        self.notifications = MongoNotifications(self.database)
        self.follower = EventFollower(self.reader)
        end, limit = LogEnd(), settings.limit_of_dead_letters
        work = notifier_work(self.database, self.audit, end)
        self.outlets: dict[str, Outlet] = {}
        owing: list[Owing] = []
        preferences = MongoPreferences(self.database)
        directory = self._directory()
        links = UnsubscribeLinks(self.database, str(settings.public_url))
        texts = Texts()
        messages = UserMessages(
            self.reader,
            preferences,
            directory,
            texts,
            unsubscribe_url=links.url,
            clock=clock,
        )
        self.email = None
        if settings.smtp_server is not None:
            self.email = EmailChannel(settings.smtp_server, sender=settings.mail_from)
            self.outlets[EMAIL] = Outlet(self.email, messages.compose, at_once=settings.smtp_connections)
            owing.append(OwedToUsers(preferences, self.outlets))
        self._add_webhooks(work, owing, clock)
        self._add_alerts(owing)
        event_log = EventLog(end, on_recorded=self._wake, owing=owing)
        self.worker = DeliveryWorker(
            MongoDeliveries(self.database),
            NamedLease(self.database, LEASE_NAME, new_id()),
            self.outlets,
            patience=settings.patience,
            clock=clock,
        )
        has_email, deliveries = EMAIL in self.outlets, MongoDeliveries(self.database)
        self.preferences = UserPreferences(preferences, links)
        self.own_notices = OwnNotices(deliveries, self.reader, preferences, messages)
        self.test_messages = TestMessages(
            work, directory, preferences, has_email=has_email, on_owed=self.worker.wake, clock=clock
        )
        self.deliveries = Deliveries(work, deliveries, on_owed=self.worker.wake, clock=clock)
        self.delivery_prover = DeliveryProver(deliveries, self.outlets)
        self.orders = MessageOrders(
            work,
            texts,
            has_email=has_email,
            public_url=str(settings.public_url),
            on_owed=self.worker.wake,
            clock=clock,
        )
        self.recorder = EventRecorder(work, event_log, limit=limit)
        self.dead_letters = DeadLetters(work, event_log, MongoDeadLetters(self.database), limit, clock=clock)
        self.consumer = EventConsumer(
            settings.kafka, group=NOTIFIER_GROUP, topics=TOPICS, effect=self._take_records
        )
        self.summary = EventsSummary(self.reader, deliveries, lambda: self.consumer.waiting, clock=clock)

    def _directory(self) -> UserDirectory:
        """Users' names and addresses, from the cache where there is one."""
        users = UserApiDirectory(self.user_api, self.settings.service_tokens(DAEMON))
        return users if self.user_cache is None else CachedDirectory(users, self.user_cache)

    async def _take_records(self, records: Sequence[IncomingRecord]) -> None:
        """Record what came, and make the cache forget who has changed."""
        await self.recorder.record_events(records)
        if self.user_cache is not None:
            await forget_changed(self.user_cache, records)

    def _add_webhooks(self, work: NotifierWork, owing: list[Owing], clock: Clock) -> None:
        """Tell programs elsewhere."""
        allow_loopback, store = self.settings.webhook_allow_loopback, MongoWebhooks(self.database)
        self.webhook_sender = WebhookSender(allow_loopback=allow_loopback, clock=clock)
        self.webhooks = Webhooks(work, store, self.webhook_sender, allow_loopback=allow_loopback, clock=clock)
        disable_after = timedelta(hours=self.settings.webhook_disable_hours)
        self.webhook_targets = WebhookTargets(work, store, disable_after=disable_after, clock=clock)
        channel = WebhookChannel(self.webhook_targets, self.webhook_sender)
        self.outlets[channel.name] = Outlet(channel, EventMessages(self.reader).compose)
        owing.append(OwedToWebhooks(store))

    def _add_alerts(self, owing: list[Owing]) -> None:
        """Tell operators of what somebody should look at, if they have said where."""
        urls = self.settings.push_urls.get_secret_value().split()
        if not urls:
            return
        channel = PushChannel(urls, seconds=self.settings.push_seconds)
        self.outlets[channel.name] = Outlet(channel, AlertMessages(self.reader).compose, at_once=4)
        owing.append(OwedToOperators(channel.recipients))

    async def running(self, _app: web.Application) -> AsyncIterator[None]:
        """Run the daemon while the application serves."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.client.close)
            await stack.enter_async_context(self.user_api)
            if self.user_cache is not None:
                stack.push_async_callback(self.user_cache.close)
            self.follower.start()
            stack.push_async_callback(self.follower.close)
            if self.email is not None:
                stack.push_async_callback(self.email.close)
            stack.push_async_callback(self.webhook_sender.close)
            stack.push_async_callback(self.worker.close)
            # The consumer comes last, so that it stops first: its effect needs all the rest.
            stack.push_async_callback(self.consumer.close)
            await stack.enter_async_context(_held(self._start_consumer()))
            yield

    async def probe_consumer(self) -> str | None:
        """Return what keeps this process from consuming."""
        return await probe_kafka(self.settings.kafka) or await self.consumer.probe()

    def _wake(self) -> None:
        self.follower.wake()
        self.worker.wake()

    async def _start_consumer(self) -> None:
        """Begin to consume once MongoDB and Kafka are there, however long they take to come up."""
        await wait_until_done(lambda: ensure_schema(self.database))
        await wait_until_done(self.audit.prepare)
        await wait_until_done(self.readings.prepare)
        if self.outlets:
            self.worker.start()
        await wait_until_done(lambda: ensure_topics_if_reached(self.settings.kafka, TOPICS))
        self.consumer.start()


@asynccontextmanager
async def _held(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run work in a task that is held, and stop it when the context ends."""
    task = asyncio.create_task(work, name="start-consumer")
    task.add_done_callback(_log_fault)
    try:
        yield
    finally:
        await end_task(task)


def _log_fault(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (fault := task.exception()) is not None:
        _log.error("the consumer was not started", exc_info=fault)
