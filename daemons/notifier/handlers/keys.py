"""What the handlers find in the application; the composition root puts it there."""

from aiohttp import web

from daemons.notifier.handlers.event_streams import EventStreams
from daemons.notifier.services.prove_events import EventProver
from daemons.notifier.storage.mongo_event_reader import MongoEventReader

READER_KEY = web.AppKey("reader", MongoEventReader)
PROVER_KEY = web.AppKey("prover", EventProver)
STREAMS_KEY = web.AppKey("streams", EventStreams)
