"""What the handlers find in the application; the composition root puts it there."""

from aiohttp import web

from daemons.notifier.dead_letters.dead_letter import DeadLetterLimit
from daemons.notifier.dead_letters.service import DeadLetterReplayer
from daemons.notifier.dead_letters.storage import MongoDeadLetters
from daemons.notifier.event_log.proof import EventProver
from daemons.notifier.event_log.reader import MongoEventReader
from daemons.notifier.streams.streams import EventStreams

READER_KEY = web.AppKey("reader", MongoEventReader)
PROVER_KEY = web.AppKey("prover", EventProver)
STREAMS_KEY = web.AppKey("streams", EventStreams)
LETTERS_KEY = web.AppKey("letters", MongoDeadLetters)
LIMIT_KEY = web.AppKey("limit", DeadLetterLimit)
REPLAYER_KEY = web.AppKey("replayer", DeadLetterReplayer)
