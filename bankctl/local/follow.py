"""The logs of a stack, as they are and as they grow."""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

_POLL_SECONDS = 0.2
_TYPICAL_LINE_BYTES = 400


def last_lines(file: Path, count: int) -> list[str]:
    """The last lines of a log; none when there is no log."""
    if count == 0:
        return []
    try:
        with file.open("rb") as log:
            size = file.stat().st_size
            wanted, found = _TYPICAL_LINE_BYTES * count, b""
            while found.count(b"\n") <= count and len(found) < size:
                log.seek(max(0, size - wanted))
                found, wanted = log.read(), wanted * 4
    except FileNotFoundError:
        return []
    return found.decode(errors="replace").splitlines()[-count:]


class Follower:
    """Yields each line (part, line) written to the logs after it was made, for ever."""

    def __init__(self, logs: Sequence[tuple[str, Path]]) -> None:
        self._logs = logs
        self._streams: dict[str, BinaryIO] = {}
        self._rests: dict[str, bytes] = {}
        for part, file in logs:
            if file.exists():
                self._streams[part] = file.open("rb")
                self._streams[part].seek(0, os.SEEK_END)

    def close(self) -> None:
        """Close the logs."""
        for stream in self._streams.values():
            stream.close()

    def __iter__(self) -> Iterator[tuple[str, str]]:
        while True:
            grown = False
            for part, file in self._logs:
                for line in self._new_lines(part, file):
                    grown = True
                    yield part, line
            if not grown:
                time.sleep(_POLL_SECONDS)

    def _new_lines(self, part: str, file: Path) -> list[str]:
        stream = self._streams.get(part)
        if stream is None or not _is_still(stream, file):
            # A log that was set aside is read from the start of its successor.
            if not file.exists():
                return []
            if stream:
                stream.close()
            stream = self._streams[part] = file.open("rb")
        *lines, self._rests[part] = (self._rests.get(part, b"") + stream.read()).split(b"\n")
        return [line.decode(errors="replace") for line in lines]


def _is_still(stream: BinaryIO, file: Path) -> bool:
    """Whether the name still stands for the open log."""
    try:
        return file.stat().st_ino == os.fstat(stream.fileno()).st_ino
    except FileNotFoundError:
        return True
