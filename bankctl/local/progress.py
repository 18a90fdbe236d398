"""Progress reports while the stack starts."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from bankctl.local.part import PartState


class Progress(Protocol):
    """Where news of a start go; a terminal shows them live, a log gets lines."""

    def message(self, text: str) -> None:
        """Something worth a line happened."""

    def parts(self, states: Sequence[PartState]) -> None:
        """The parts now stand like this; called often, also when nothing changed."""

    def download(self, title: str, total_bytes: int) -> AbstractContextManager[Callable[[int], None]]:
        """Begin to show a download; what is yielded is called with each number of bytes that arrived."""


class Silence:
    """Progress that nobody looks at."""

    def message(self, text: str) -> None:
        """Say nothing."""

    def parts(self, states: Sequence[PartState]) -> None:
        """Say nothing."""

    @contextmanager
    def download(self, title: str, total_bytes: int) -> Iterator[Callable[[int], None]]:  # noqa: ARG002 - the port's form
        """Say nothing."""
        yield lambda _received: None
