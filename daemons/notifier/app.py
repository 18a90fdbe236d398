"""The composition root of the notifier: what it is made of, and in which order that starts and stops."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import structlog
from aiohttp import web

from daemons.contracts.errors import TransientError
from daemons.contracts.kafka_accounts import NOTIFIER_GROUP, TOPICS
from daemons.notifier.consumption.recorder import EventRecorder
from daemons.notifier.dead_letters import routes as dead_letters
from daemons.notifier.dead_letters.service import DeadLetterReplayer
from daemons.notifier.dead_letters.storage import MongoDeadLetters
from daemons.notifier.event_log import routes as events
from daemons.notifier.event_log.proof import EventProver
from daemons.notifier.event_log.reader import MongoEventReader
from daemons.notifier.event_log.storage import MongoEventLog
from daemons.notifier.keys import (
    LETTERS_KEY,
    LIMIT_KEY,
    PROVER_KEY,
    READER_KEY,
    REPLAYER_KEY,
    STREAMS_KEY,
)
from daemons.notifier.notifications import routes as notifications
from daemons.notifier.schema import prepare_schema
from daemons.notifier.settings import NotifierSettings
from daemons.notifier.streams.follower import EventFollower
from daemons.notifier.streams.streams import EventStreams
from daemons.shared.audit.refusals import RefusalWitness
from daemons.shared.audit.routes import AUDIT_KEY, audit_routes
from daemons.shared.audit.trail import MongoAuditTrail
from daemons.shared.auth.remote_sessions import RemoteSessions
from daemons.shared.clock import Clock, utc_now
from daemons.shared.http.app import build_app
from daemons.shared.http.health import Probe
from daemons.shared.http.routes import AUTHENTICATOR_KEY, REFUSALS_KEY
from daemons.shared.kafka.connection import KafkaCluster
from daemons.shared.kafka.consumer import EventConsumer
from daemons.shared.kafka.topics import ensure_topics, probe_kafka
from daemons.shared.mongo import Database, connect, ping
from daemons.shared.startup import wait_until_done
from daemons.shared.tasks import end_task

DAEMON = "notifier"
_USER_API_TIMEOUT = httpx.Timeout(3.0, connect=1.0)
_log = structlog.get_logger()


def build_notifier(settings: NotifierSettings, *, clock: Clock = utc_now) -> web.Application:
    """Make the application; nothing connects before it runs.

    Args:
        settings: What the environment says.
        clock: The time of administrative acts and refusals.
    """
    service_tokens = settings.service_tokens(DAEMON)
    probes: dict[str, Probe] = {}
    app = build_app(
        DAEMON,
        settings,
        probes=probes,
        routes=[events.routes, notifications.routes, dead_letters.routes, audit_routes("events")],
    )

    async def parts(app: web.Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            client = connect(settings.mongo_uri, daemon=DAEMON)
            stack.push_async_callback(client.close)
            database = client[settings.mongo_database]
            users = await stack.enter_async_context(
                httpx.AsyncClient(base_url=str(settings.user_api_url), timeout=_USER_API_TIMEOUT)
            )
            reader = MongoEventReader(database)
            follower = EventFollower(reader)
            sessions = RemoteSessions(users, audience=DAEMON, service_tokens=service_tokens)
            app[AUTHENTICATOR_KEY] = sessions
            app[READER_KEY] = reader
            app[PROVER_KEY] = EventProver(reader)
            app[STREAMS_KEY] = EventStreams(follower, sessions, limits=settings.stream_limits)
            follower.start()
            stack.push_async_callback(follower.close)
            letters, limit = MongoDeadLetters(database), settings.limit_of_dead_letters
            recorder = EventRecorder(MongoEventLog(database), letters, limit=limit, on_recorded=follower.wake)
            app[LETTERS_KEY] = letters
            app[LIMIT_KEY] = limit
            audit = MongoAuditTrail(database, chain=DAEMON)
            app[AUDIT_KEY] = audit
            app[REFUSALS_KEY] = RefusalWitness(audit, clock=clock)
            app[REPLAYER_KEY] = DeadLetterReplayer(recorder, letters, audit, clock=clock)
            consumer = EventConsumer(
                settings.kafka, group=NOTIFIER_GROUP, topics=TOPICS, effect=recorder.record_events
            )
            # The consumer comes last, so that it stops first: its effect needs all the rest.
            stack.push_async_callback(consumer.close)
            probes["mongo"] = lambda: ping(database)
            probes["kafka"] = lambda: _probe_consumer(consumer, settings.kafka)
            await stack.enter_async_context(
                _held(_start_consumer(database, audit, settings.kafka, consumer.start))
            )
            yield

    async def end_streams(app: web.Application) -> None:
        app[STREAMS_KEY].close()

    app.cleanup_ctx.append(parts)
    app.on_shutdown.append(end_streams)
    return app


async def _start_consumer(
    database: Database, audit: MongoAuditTrail, cluster: KafkaCluster, start: Callable[[], None]
) -> None:
    """Begin to consume once MongoDB and Kafka are there, however long they take to come up."""
    await wait_until_done(lambda: prepare_schema(database))
    await wait_until_done(audit.prepare)
    await wait_until_done(lambda: _ensure_topics(cluster))
    start()


async def _ensure_topics(cluster: KafkaCluster) -> None:
    # Asking first fails sooner than creating topics does, so shutting down need not wait for that.
    reason = await probe_kafka(cluster)
    if reason is not None:
        raise TransientError("unavailable", reason)
    await ensure_topics(cluster, TOPICS)


async def _probe_consumer(consumer: EventConsumer, cluster: KafkaCluster) -> str | None:
    return await probe_kafka(cluster) or await consumer.probe()


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
