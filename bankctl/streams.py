"""The standard streams of a command, which may be closed, full, or no longer read by anybody.

What a command did does not depend on whether its result could be shown. So a write that fails raises
nothing: stdout remembers why its text was lost, and `bankctl.execution` turns that into an exit status at the
end. What is lost on stderr is gone.
"""

import errno
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from bankctl.errors import usage_error

_READER_GONE_SIGNAL = signal.SIGUSR1


class ReaderGoneError(Exception):
    """The reader of stdout has gone away, so an endless command ends."""


class GuardedOutput:
    """A text stream whose failures are kept in `lost` instead of raised."""

    def __init__(self, stream: Any) -> None:
        self.lost: OSError | None = None
        self._closed = stream is None
        self._stream: Any = open(os.devnull, "w", encoding="utf-8") if stream is None else stream  # noqa: PTH123, SIM115  # open as long as the process

    def write(self, text: str) -> int:
        """Write text, unless writing failed before."""
        if self._closed:
            self.lost = OSError(errno.EBADF, "it is closed")
        if self.lost is None:
            try:
                self._stream.write(text)
            except OSError as error:
                self._lose(error)
        return len(text)

    def write_utf8(self, text: str) -> None:
        """Write text in UTF-8, whatever the encoding of the stream."""
        buffer = getattr(self._stream, "buffer", None)
        if buffer is None or self.lost is not None or self._closed or holds_unicode(self._stream):
            self.write(text)
            return
        try:
            self._stream.flush()
            buffer.write(text.encode("utf-8", "backslashreplace"))
        except OSError as error:
            self._lose(error)

    def flush(self) -> None:
        """Hand on what was written."""
        if self.lost is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._lose(error)

    def _lose(self, error: OSError) -> None:
        self.lost = error
        # Python flushes what is left in the buffer when it ends, and would fail once more.
        with suppress(OSError):
            descriptor = os.open(os.devnull, os.O_WRONLY)
            os.dup2(descriptor, self._stream.fileno())
            os.close(descriptor)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class GuardedInput:
    """A text stream that is UTF-8, and whose faults are named as such."""

    def __init__(self, stream: Any) -> None:
        self._stream: Any = open(os.devnull, encoding="utf-8") if stream is None else stream  # noqa: PTH123, SIM115  # open as long as the process

    def readline(self) -> str:
        """The next line, empty at the end.

        Raises:
            CliError: it is not UTF-8, or cannot be read.
        """
        with _named_faults():
            return str(self._stream.readline())

    def read(self) -> str:
        """All that is left.

        Raises:
            CliError: it is not UTF-8, or cannot be read.
        """
        with _named_faults():
            return str(self._stream.read())

    def __iter__(self) -> Iterator[str]:
        while line := self.readline():
            yield line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _named_faults() -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise usage_error(
            f"stdin is not UTF-8: byte 0x{error.object[error.start]:02x} at position {error.start}",
            hint="convert it, such as with: iconv -f ISO-8859-1 -t UTF-8",
            code="not_utf8",
        ) from error
    except OSError as error:
        raise usage_error(f"stdin cannot be read: {error.strerror}", code="stdin_unreadable") from error


@contextmanager
def guarded() -> Iterator[None]:
    """Put guards before the standard streams for one command."""
    before = sys.stdin, sys.stdout, sys.stderr
    _occupy_descriptors()
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character must not turn a result into an error.
        _reconfigure(stream, errors="backslashreplace")
    if sys.stdin is not None and not sys.stdin.isatty():
        _reconfigure(sys.stdin, encoding="utf-8", errors="strict")
    sys.stdin = GuardedInput(sys.stdin)
    sys.stdout = GuardedOutput(sys.stdout)
    sys.stderr = GuardedOutput(sys.stderr)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stdin, sys.stdout, sys.stderr = before


def _occupy_descriptors() -> None:
    """Keep 0, 1 and 2 from becoming those of the next file or connection that is opened."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            continue
        if descriptor:
            # A pipe that somebody made non-blocking would seem full when it is only slow.
            with suppress(OSError):
                os.set_blocking(descriptor, True)


def _reconfigure(stream: Any, **settings: str) -> None:
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(**settings)


def lost_output() -> OSError | None:
    """Why something of the result could not be written to stdout; None if all of it could."""
    return getattr(sys.stdout, "lost", None)


def holds_unicode(stream: Any) -> bool:
    """Whether every character can be written to a stream."""
    encoding = str(getattr(stream, "encoding", None) or "utf-8")
    return encoding.lower().replace("_", "-") in {"utf-8", "utf8", "utf-8-sig"}


@contextmanager
def end_with_reader() -> Iterator[None]:
    """End the body when the reader of stdout goes away, even while it waits for something else.

    Raises:
        ReaderGoneError: the reader went away.
    """
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):
        descriptor = None
    if descriptor is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    stopped, stop = os.pipe()
    before = signal.signal(_READER_GONE_SIGNAL, _raise_reader_gone)
    watch = threading.Thread(target=_watch, args=(descriptor, stopped, threading.get_ident()), daemon=True)
    watch.start()
    try:
        yield
    finally:
        os.close(stop)
        watch.join()
        os.close(stopped)
        signal.signal(_READER_GONE_SIGNAL, before)


def _watch(descriptor: int, stopped: int, waiting_thread: int) -> None:
    poller = select.poll()
    poller.register(descriptor, 0)
    poller.register(stopped, select.POLLIN)
    if any(ready == descriptor for ready, _ in poller.poll()):
        signal.pthread_kill(waiting_thread, _READER_GONE_SIGNAL)


def _raise_reader_gone(_number: int, _frame: object) -> None:
    if isinstance(sys.stdout, GuardedOutput) and sys.stdout.lost is None:
        sys.stdout.lost = BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
    raise ReaderGoneError
