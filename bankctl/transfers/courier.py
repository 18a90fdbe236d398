"""Takes batches to the bank while the program goes on, a few at once, and brings back what came of each."""

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Batch = Sequence[dict[str, Any]]
Answers = list[dict[str, Any]]


@dataclass(slots=True)
class Errand:
    """One batch on its way, behind another or behind none."""

    batch: Batch
    behind: "Errand | None"
    _ended: threading.Event = field(default_factory=threading.Event)
    _answers: Answers | BaseException | None = None

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to wait for."""
        return self._ended.is_set()

    def end(self, answers: Answers | BaseException) -> None:
        """Tell what came of it."""
        self._answers, self.behind = answers, None
        self._ended.set()

    def answers(self) -> Answers:
        """Wait for what came of it.

        Raises:
            CliError: what sending it has raised.
        """
        self._ended.wait()
        if isinstance(self._answers, BaseException):
            raise self._answers
        return self._answers or []


Send = Callable[[Errand], Answers]


class Courier:
    """Threads that end with the program: whoever presses Ctrl-C does not wait for what is under way.

    What was under way then is settled by the next run, for its rows keep their keys.
    """

    def __init__(self, send: Send, *, at_once: int) -> None:
        self._send = send
        self._at_once = at_once
        self._errands: queue.SimpleQueue[Errand] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._last: Errand | None = None

    def send(self, batch: Batch) -> Errand:
        """Take a batch along, behind the one before; of an empty one there is nothing to bring back."""
        errand = Errand(batch, self._last)
        if not batch:
            errand.end([])
            return errand
        if len(self._threads) < self._at_once:
            thread = threading.Thread(target=self._run, name="courier", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._last = errand
        self._errands.put(errand)
        return errand

    def _run(self) -> None:
        while True:
            errand = self._errands.get()
            try:
                errand.end(self._send(errand))
            except BaseException as error:  # noqa: BLE001 - it is raised where the answers are waited for
                errand.end(error)
