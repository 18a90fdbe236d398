"""What the handlers find in the application; the composition root puts it there."""

from aiohttp import web

from daemons.notifier.domain.dead_letter import DeadLetterLimit
from daemons.notifier.handlers.event_streams import EventStreams
from daemons.notifier.services.prove_events import EventProver
from daemons.notifier.services.replay_dead_letters import DeadLetterReplayer
from daemons.notifier.storage.mongo_dead_letters import MongoDeadLetters
from daemons.notifier.storage.mongo_event_reader import MongoEventReader

READER_KEY = web.AppKey("reader", MongoEventReader)
PROVER_KEY = web.AppKey("prover", EventProver)
STREAMS_KEY = web.AppKey("streams", EventStreams)
LETTERS_KEY = web.AppKey("letters", MongoDeadLetters)
LIMIT_KEY = web.AppKey("limit", DeadLetterLimit)
REPLAYER_KEY = web.AppKey("replayer", DeadLetterReplayer)
