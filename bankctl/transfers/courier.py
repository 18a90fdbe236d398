"""Takes one batch at a time to the bank while the program goes on, and brings back what came of it."""

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any

Batch = Sequence[dict[str, Any]]
Send = Callable[[Batch], list[dict[str, Any]]]


class Courier:
    """A thread that ends with the program: whoever presses Ctrl-C does not wait for what is under way.

    What was under way then is settled by the next run, for its rows keep their keys.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._batches: queue.Queue[Batch] = queue.Queue(1)
        self._answers: queue.Queue[list[dict[str, Any]] | BaseException] = queue.Queue(1)
        self._thread: threading.Thread | None = None

    def send(self, batch: Batch) -> None:
        """Take a batch along; the answers to the one before must have been fetched."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
            self._thread.start()
        self._batches.put(batch)

    def fetch(self) -> list[dict[str, Any]]:
        """Wait for the answers to the batch that was sent.

        Raises:
            CliError: what sending it has raised.
        """
        answers = self._answers.get()
        if isinstance(answers, BaseException):
            raise answers
        return answers

    def _run(self) -> None:
        while True:
            try:
                self._answers.put(self._send(self._batches.get()))
            except BaseException as error:  # noqa: BLE001 - it is raised where the answers are waited for
                self._answers.put(error)
