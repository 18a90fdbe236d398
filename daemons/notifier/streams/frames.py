"""Server-sent events as bytes (WHATWG HTML §9.2)."""

import json
from collections.abc import Mapping
from functools import lru_cache

from daemons.contracts.names import LAGGING, REACHED, TOO_SLOW, Code
from daemons.notifier.event import RecordedEvent
from daemons.notifier.event_log.models import view_event
from daemons.notifier.streams.follower import Lagging

RETRY_MILLISECONDS = 1_000
_FRAMES_KEPT = 4_096


@lru_cache(maxsize=_FRAMES_KEPT)
def event_frame(event: RecordedEvent) -> bytes:
    """One event; all streams of the process share the event, so it is encoded once."""
    # JSON escapes line ends, so the data is one line.
    data = view_event(event).model_dump_json()
    return f"id: {event.position}\nevent: {event.type.value}\ndata: {data}\n\n".encode()


def opening_frame(position: int) -> bytes:
    """Where the stream begins, so that a client cut off before the first event resumes there as well."""
    return f"retry: {RETRY_MILLISECONDS}\nid: {position}\n\n".encode()


def position_frame(position: int, last_position: int) -> bytes:
    """How far the reader has come; it resumes there, however few of the events it has asked for."""
    data = {"position": position, "last_position": last_position}
    return f"id: {position}\n".encode() + _named(REACHED, data)


def too_slow_frame(seconds: float) -> bytes:
    """The stream ends because the client has taken nothing for so long; it resumes where it stopped."""
    detail = f"Nothing was taken for {seconds:g} s; the stream goes on from the last event when asked again."
    return _named(TOO_SLOW, {"code": TOO_SLOW, "detail": detail})


def lagging_frame(lagging: Lagging) -> bytes:
    """The client is slower than the bank; it gets everything, later."""
    data = {"position": lagging.position, "last_position": lagging.last_position}
    return _named(LAGGING, data)


def session_ended_frame() -> bytes:
    """The stream ends because the session, or its right to read events, has."""
    return _named(Code.SESSION_ENDED, {"code": Code.SESSION_ENDED})


def reconnect_frame() -> bytes:
    """The stream ends for a reason of the server's; come again."""
    return f"retry: {RETRY_MILLISECONDS}\n\n".encode()


def _named(name: str, data: Mapping[str, object]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
