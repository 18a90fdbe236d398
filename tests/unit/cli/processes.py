"""The command line in a process of its own, for what only real streams show."""

import os
import pty
import select
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Ended:
    """How a process ended, and what it wrote to the streams that were pipes."""

    status: int
    out: bytes
    err: bytes


def bankctl(
    arguments: Sequence[str | bytes],
    *,
    redirections: str = "",
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run a command line through a shell that redirects its streams, without a controlling terminal."""
    command = ["/bin/sh", "-c", f'exec "$@" {redirections}', "sh", sys.executable, "-m", "bankctl.main"]
    finished = subprocess.run(
        [*command, *arguments],
        input=stdin,
        capture_output=True,
        check=False,
        timeout=_PATIENCE_SECONDS,
        start_new_session=True,
        env={**os.environ, **(environment or {})},
    )
    return Ended(finished.returncode, finished.stdout, finished.stderr)


def on_terminal(
    arguments: Sequence[str],
    *,
    columns: int,
    redirections: str = "",
    environment: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Run a command line on a controlling terminal of its own; returns what that shows."""
    child, terminal = pty.fork()
    if not child:
        # A terminal that no descriptor is open on any more reads as ended.
        command = f'exec "$@" {redirections}'
        os.execve(  # noqa: S606  # the child of a fork
            "/bin/sh",
            [
                "/bin/sh",
                "-c",
                f"read _; exec 9>/dev/tty; {command}",
                "sh",
                sys.executable,
                "-m",
                "bankctl.main",
                *arguments,
            ],
            {**os.environ, "TERM": "xterm", **(environment or {})},
        )
    termios.tcsetwinsize(terminal, (24, columns))
    os.write(terminal, b"\n")
    shown = bytearray()
    while select.select([terminal], [], [], _PATIENCE_SECONDS)[0]:
        try:
            shown += os.read(terminal, 65536)
        except OSError:
            break
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), shown.decode(errors="replace").replace("\r\n", "\n")
