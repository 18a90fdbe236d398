"""Which process is ours: a process id alone is re-used by the system, with its creation time it is not."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import psutil

# The system derives the time from its clock, which may be set; no id is used again within so short a time.
_TOLERANCE_SECONDS = 2.0
STACK_MARK = "BANKCTL_STACK_ID"
PART_MARK = "BANKCTL_STACK_PART"


@dataclass(frozen=True)
class Identity:
    """One process for all time: its id and when it was created (seconds since the epoch)."""

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """The identity of the process that has this id now; None when there is none."""
        try:
            return cls(pid, psutil.Process(pid).create_time())
        except psutil.Error:
            return None

    def process(self) -> psutil.Process | None:
        """The living process; None when it has ended, is a zombie, or when its id is now another's."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) <= _TOLERANCE_SECONDS
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None

    def alive(self) -> bool:
        """Whether exactly this process still runs."""
        return self.process() is not None


def marked(stack_id: str) -> Iterator[tuple[str, Identity]]:
    """The living processes whose environment says that they belong to the stack, with their part's name.

    This finds what was started in the instant before a supervisor died, too early to be recorded.
    """
    for process in psutil.process_iter():
        try:
            environment = process.environ()
            if environment.get(STACK_MARK) == stack_id and process.status() != psutil.STATUS_ZOMBIE:
                yield environment.get(PART_MARK, ""), Identity(process.pid, process.create_time())
        except (psutil.Error, OSError):
            continue
