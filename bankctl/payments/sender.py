"""Sends batches in the background, a few at once, and returns their outcomes."""

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Batch = Sequence[dict[str, Any]]
Answers = list[dict[str, Any]]


@dataclass(slots=True)
class SentBatch:
    """One batch on its way, behind another or behind none."""

    batch: Batch
    behind: "SentBatch | None"
    confirmation: str | None = None
    _ended: threading.Event = field(default_factory=threading.Event)
    _answers: Answers | BaseException | None = None

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to wait for."""
        return self._ended.is_set()

    def end(self, answers: Answers | BaseException) -> None:
        """Note the outcome."""
        self._answers, self.behind = answers, None
        self._ended.set()

    def wait(self) -> None:
        """Wait until it is no longer being sent, whatever the outcome."""
        self._ended.wait()

    def answers(self) -> Answers:
        """Wait for what came of it.

        Raises:
            CliError: what sending it has raised.
        """
        self.wait()
        if isinstance(self._answers, BaseException):
            raise self._answers
        return self._answers or []


Send = Callable[[SentBatch], Answers]


class BatchSender:
    """Threads that end with the program: Ctrl-C does not wait for batches under way.

    What was under way then is settled by the next run, for its rows keep their keys.
    """

    def __init__(self, send: Send, *, at_once: int) -> None:
        self._send = send
        self._at_once = at_once
        self._queue: queue.SimpleQueue[SentBatch] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._last: SentBatch | None = None

    def send(self, batch: Batch, *, confirmation: str | None = None) -> SentBatch:
        """Send a batch behind the one before; of an empty one nothing is sent.

        `confirmation` is what the bank gave for a code of the second factor.
        """
        sent = SentBatch(batch, self._last, confirmation)
        if not batch:
            sent.end([])
            return sent
        if len(self._threads) < self._at_once:
            thread = threading.Thread(target=self._run, name="batch-sender", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._last = sent
        self._queue.put(sent)
        return sent

    def _run(self) -> None:
        while True:
            sent = self._queue.get()
            try:
                sent.end(self._send(sent))
            except BaseException as error:  # noqa: BLE001 - it is raised where the answers are waited for
                sent.end(error)
