"""The stream of events: follows it, and takes it up again where it broke off.

Server-sent events carry their position as `id`. After a cut the stream is asked for what came after the last
position; an event that comes twice all the same is shown once.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from bankctl.client.events import Events
from bankctl.errors import CliError, ExitStatus
from daemons.contracts.names import LAGGING, LAST_EVENT_ID_HEADER, Code

# The notifier sends a comment every 15 seconds; this long a silence means that the line is dead.
SILENCE_SECONDS = 40.0
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
_REMEMBERED = 10_000
# What the notifier says about the stream itself, beside the events.


@dataclass(frozen=True, slots=True)
class Following:
    """What to follow, and for how many seconds to look for a lost bank."""

    event_types: str | None
    account: str | None
    after: int
    wait_seconds: float


class _Seen:
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


def follow(
    events: Events,
    following: Following,
    *,
    on_lost: Callable[[CliError], None],
    on_lagging: Callable[[int], None],
) -> Iterator[dict[str, Any]]:
    """Yield events as they happen.

    `on_lost` is called when the line was lost and is taken up again, `on_lagging` by how many events this
    reader is behind the bank; those come all the same.

    Raises:
        CliError: the session ended, the caller may not see events, or the bank stayed away for too long.
    """
    position, seen = following.after, _Seen()
    lost_since: float | None = None
    pause_seconds = _FIRST_PAUSE_SECONDS
    while True:
        try:
            for event in _read(events, following, position, on_lagging):
                lost_since, pause_seconds = None, _FIRST_PAUSE_SECONDS
                position = max(position, int(event["position"]))
                if seen.add(str(event["id"])):
                    yield event
            # The bank closed the stream in good order, as it does when it is restarted.
            cause = CliError("the bank closed the stream", exit_status=ExitStatus.UNREACHABLE, code="closed")
        except CliError as error:
            if error.exit_status is not ExitStatus.UNREACHABLE or error.code.startswith("tls_"):
                raise
            cause = error
        now = time.monotonic()
        lost_since = now if lost_since is None else lost_since
        if now + pause_seconds - lost_since > following.wait_seconds:
            raise _gave_up(cause, following.wait_seconds, position) from cause
        on_lost(cause)
        time.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 2, _LONGEST_PAUSE_SECONDS)


def _read(
    events: Events, following: Following, position: int, on_lagging: Callable[[int], None]
) -> Iterator[dict[str, Any]]:
    # Only the stream needs it.
    from httpx_sse import EventSource, SSEError  # noqa: PLC0415

    headers = {
        "Accept": "text/event-stream",
        "Cache-Control": "no-store",
        LAST_EVENT_ID_HEADER: str(position),
    }
    params = {"type": following.event_types, "account": following.account}
    opened = events.http.stream("/events", params=params, headers=headers, idle_seconds=SILENCE_SECONDS)
    with opened as response:
        try:
            for message in EventSource(response).iter_sse():
                if message.event == Code.SESSION_ENDED:
                    # Asking again renews the session, or tells why it cannot be.
                    return
                if message.event == LAGGING:
                    on_lagging(message.json()["last_position"] - message.json()["position"])
                elif message.data and message.id:
                    yield message.json()
        except (SSEError, ValueError) as error:
            raise CliError(
                f"the bank's stream cannot be read: {error}",
                exit_status=ExitStatus.UNEXPECTED,
                hint="`bankctl doctor` compares versions",
                code="broken_stream",
            ) from error


def _gave_up(cause: CliError, wait_seconds: float, position: int) -> CliError:
    return CliError(
        f"the stream is lost and did not come back within {wait_seconds:g} s: {cause.message}",
        exit_status=ExitStatus.UNREACHABLE,
        hint=f"`bankctl doctor`; then go on with `bankctl events tail --after {position}`",
        code="stream_lost",
        request_id=cause.request_id,
    )
