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
    try:
        with file.open("rb") as log:
            size = file.stat().st_size
            wanted, found = _TYPICAL_LINE_BYTES * count, b""
            while found.count(b"\n") <= count and len(found) < size:
                log.seek(max(0, size - wanted))
                found, wanted = log.read(), wanted * 4
    except FileNotFoundError:
        return []
    return found.decode(errors="replace").splitlines()[-count:] if count else []


def follow_logs(logs: Sequence[tuple[str, Path]]) -> Iterator[tuple[str, str]]:
    """Yield each line (part, line) written from now on, for ever; a log set aside is followed anew."""
    open_files: dict[str, BinaryIO] = {}
    pieces: dict[str, bytes] = {}
    fresh = {part for part, file in logs if not file.exists()}
    try:
        while True:
            grown = False
            for part, file in logs:
                stream = _current(open_files.get(part), file, from_start=part in fresh or part in open_files)
                if stream is None:
                    continue
                open_files[part] = stream
                *lines, rest = (pieces.get(part, b"") + stream.read()).split(b"\n")
                pieces[part] = rest
                grown = grown or bool(lines)
                yield from ((part, line.decode(errors="replace")) for line in lines)
            if not grown:
                time.sleep(_POLL_SECONDS)
    finally:
        for stream in open_files.values():
            stream.close()


def _current(stream: BinaryIO | None, file: Path, *, from_start: bool) -> BinaryIO | None:
    """The open log, opened again if another file has its name now; None while there is none."""
    try:
        there = file.stat()
        if stream is not None:
            if (there.st_ino, there.st_size >= stream.tell()) == (_inode(stream), True):
                return stream
            stream.close()
        opened = file.open("rb")
    except FileNotFoundError:
        return stream
    if not from_start:
        opened.seek(0, 2)
    return opened


def _inode(stream: BinaryIO) -> int:
    return os.fstat(stream.fileno()).st_ino
