"""The stream of events: follows it, and takes it up again where it broke off.

Server-sent events carry their position as `id`. After a cut the stream is asked for what came after the last
position; an event that comes twice all the same is shown once.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bankctl.client.event_filter import EventFilter
from bankctl.client.events import Events
from bankctl.errors import CliError, ExitStatus
from daemons.contracts.names import LAGGING, LAST_EVENT_ID_HEADER, REACHED, TOO_SLOW, Code

if TYPE_CHECKING:
    from httpx_sse import ServerSentEvent

# The notifier sends a comment every 15 seconds; this long a silence means that the line is dead.
SILENCE_SECONDS = 40.0
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Following:
    """What to follow, from where on, and for how many seconds to look for a lost bank.

    It begins behind the position `after`; without one with the event `first`, or at the filter's time.
    """

    wanted: EventFilter
    after: int | None
    first: str | None
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who is told what happens to the stream itself.

    `on_lost`: the line was lost and is taken up again. `on_lagging`: this reader is so many events behind the
    bank; those come all the same. `on_position`: the reader has come so far, and the bank so far.
    """

    on_lost: Callable[[CliError], None]
    on_lagging: Callable[[int], None]
    on_position: Callable[[int, int], None]


class Seen:
    """The last event ids, to recognise a repeated event."""

    def __init__(self) -> None:
        self._order: deque[str] = deque()
        self._ids: set[str] = set()

    def add(self, event_id: str) -> bool:
        """Whether the id is new."""
        if event_id in self._ids:
            return False
        self._ids.add(event_id)
        self._order.append(event_id)
        if len(self._order) > _REMEMBERED:
            self._ids.discard(self._order.popleft())
        return True


def follow(events: Events, following: Following, watcher: Watcher) -> Iterator[dict[str, Any]]:
    """Yield events as they happen.

    Raises:
        CliError: the session ended, the caller may not see events, or the bank stayed away for too long.
    """
    position, seen = following.after, Seen()
    was_open = False
    lost_since: float | None = None
    pause_seconds = _FIRST_PAUSE_SECONDS
    while True:
        try:
            for message in _read(events, following, position):
                was_open, lost_since, pause_seconds = True, None, _FIRST_PAUSE_SECONDS
                data = message.json()
                if message.event == LAGGING:
                    watcher.on_lagging(data["last_position"] - data["position"])
                    continue
                position = max(position or 0, int(data["position"]))
                if message.event == REACHED:
                    watcher.on_position(position, int(data["last_position"]))
                elif seen.add(str(data["id"])):
                    yield data
            # The bank closed the stream in good order, as it does when it is restarted.
            cause = CliError("the bank closed the stream", exit_status=ExitStatus.UNREACHABLE, code="closed")
        except ValueError as error:
            raise _broken(error) from error
        except CliError as error:
            # Of a stream that was cut, the bank may not know yet that it has ended.
            refused = error.code == Code.TOO_MANY_STREAMS and not was_open
            if refused or error.exit_status is not ExitStatus.UNREACHABLE or error.code.startswith("tls_"):
                raise
            cause = error
        now = time.monotonic()
        lost_since = now if lost_since is None else lost_since
        if now + pause_seconds - lost_since > following.wait_seconds:
            raise _gave_up(cause, following.wait_seconds, position) from cause
        watcher.on_lost(cause)
        time.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 2, _LONGEST_PAUSE_SECONDS)


def _read(events: Events, following: Following, position: int | None) -> Iterator["ServerSentEvent"]:
    """Yield events, and what the bank says of the stream while it lasts.

    Raises:
        CliError: the bank refuses it, or the line is cut.
    """
    # Only the stream needs it.
    from httpx_sse import EventSource, SSEError  # noqa: PLC0415

    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    params = following.wanted.params()
    if position is None:
        params["from"] = following.first
    else:
        headers[LAST_EVENT_ID_HEADER] = str(position)
    opened = events.http.stream("/events", params=params, headers=headers, idle_seconds=SILENCE_SECONDS)
    with opened as response:
        try:
            for message in EventSource(response).iter_sse():
                if message.event == Code.SESSION_ENDED:
                    # Asking again renews the session, or tells why it cannot be.
                    return
                if message.event == TOO_SLOW:
                    raise CliError(
                        "this reader was cut off because it took nothing for a while",
                        exit_status=ExitStatus.UNREACHABLE,
                        code=TOO_SLOW,
                    )
                if message.data and (message.id or message.event == LAGGING):
                    yield message
        except (SSEError, UnicodeDecodeError) as error:
            raise _broken(error) from error


def _broken(error: Exception) -> CliError:
    return CliError(
        f"the bank's stream cannot be read: {error}",
        exit_status=ExitStatus.UNEXPECTED,
        hint="`bankctl doctor` compares versions",
        code="broken_stream",
    )


def _gave_up(cause: CliError, wait_seconds: float, position: int | None) -> CliError:
    go_on = "try again" if position is None else f"go on with `bankctl events tail --after {position}`"
    return CliError(
        f"the stream is lost and did not come back within {wait_seconds:g} s: {cause.message}",
        exit_status=ExitStatus.UNREACHABLE,
        hint=f"`bankctl doctor`; then {go_on}",
        code="stream_lost",
        request_id=cause.request_id,
    )
