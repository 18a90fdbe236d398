"""What a daemon asks of its database: the same work for two requests is the same list."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo import monitoring

from tests.support.user_api import UserApi

Work = list[tuple[str, str]]
# What the driver does by itself, and what the sender of messages and last uses do at their own time.
_BESIDE = {"hello", "endSessions", "ping", "killCursors", "abortTransaction"}
_SENDERS = ("findAndModify", "owed_messages")


class _Listener(monitoring.CommandListener):
    def __init__(self, database: str) -> None:
        self.database = database
        self.work: Work | None = None

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if self.work is None or event.command_name in _BESIDE:
            return
        target = event.command.get(event.command_name)
        done = (event.command_name, target if isinstance(target, str) else "")
        own = event.database_name in (self.database, "admin")
        sent = done == _SENDERS or (event.command_name, target) == ("delete", "owed_messages")
        if own and not sent:
            self.work.append(done)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


@contextmanager
def done_by(api: UserApi) -> Iterator[Work]:
    """Yield the commands that the daemon sends to its database inside, in order, by name and collection."""
    listener = _Listener(api.settings.mongo_database)
    listener.work = []
    # The driver takes listeners when a client is made only; this one is there for a moment.
    listeners: Any = vars(api.audit.client._event_listeners)
    names = ("_EventListeners__command_listeners", "_EventListeners__enabled_for_commands")
    before = {name: listeners[name] for name in names}
    listeners.update(zip(names, ([*before[names[0]], listener], True), strict=True))
    try:
        yield listener.work
    finally:
        listeners.update(before)
