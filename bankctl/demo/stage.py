"""Where the demonstration plays: people who run the command line, and one who follows the events."""

import json
import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from bankctl.errors import CliError, ExitStatus

COMMAND = [sys.executable, "-c", "from bankctl.main import main; main()"]
WHY = ("--reason", "The demonstration")
"""Why staff read the events of everybody."""
_PATIENCE_SECONDS = 60.0
_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "cyan": "36"}


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command did."""

    status: int
    out: str
    err: str


class Narrator:
    """Writes what happens, from several threads, a line at a time."""

    def __init__(self, stream: TextIO, *, colored: bool) -> None:
        self._stream = stream
        self._colored = colored
        self._lock = threading.Lock()

    def say(self, text: str, style: str | None = None, *, indent: int = 0) -> None:
        """Write the lines of a text."""
        with self._lock:
            for line in text.splitlines():
                shown = f"\x1b[{_CODES[style]}m{line}\x1b[0m" if self._colored and style else line
                self._stream.write(f"{' ' * indent}{shown}\n" if line else "\n")
            self._stream.flush()


class Person:
    """Somebody at a terminal of their own: own profile, own session, the real command line."""

    def __init__(self, name: str, home: Path, narrator: Narrator) -> None:
        self.name = name
        self.email = ""
        self.password = ""
        self._environment = {**os.environ, "BANKCTL_HOME": str(home), "BANKCTL_PROFILE": "demo"}
        self._narrator = narrator

    def run(self, *arguments: str, typed: str | None = None) -> Ran:
        """Show the command, run it, show what it printed."""
        self._narrator.say(f"\n{self.name} $ bankctl {shlex.join(arguments)}", "bold")
        ran = self.run_quietly(*arguments, typed=typed)
        self._narrator.say(ran.out, indent=2)
        self._narrator.say(ran.err, None if ran.status == 0 else "red", indent=2)
        return ran

    def run_quietly(self, *arguments: str, typed: str | None = None) -> Ran:
        """Run a command without showing it."""
        ran = subprocess.run(  # noqa: S603 - the project's own command line
            [*COMMAND, *arguments],
            env=self._environment,
            input="" if typed is None else typed + "\n",
            capture_output=True,
            text=True,
            check=False,
        )
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    def ask(self, *arguments: str) -> Any:
        """Run a command for its JSON.

        Raises:
            CliError: it failed.
        """
        ran = self.run_quietly(*arguments, "-o", "json")
        if ran.status != 0:
            raise CliError(
                f"`bankctl {shlex.join(arguments)}` failed: {ran.err.strip()}",
                exit_status=ExitStatus.UNEXPECTED,
            )
        return json.loads(ran.out)

    def follow_events(self, after: int) -> "Follower":
        """Start `events tail` in the background."""
        arguments = ["events", "tail", "--after", str(after), *WHY]
        self._narrator.say(
            f"\n{self.name} $ bankctl events tail --reason WHY        (goes on in the background)", "bold"
        )
        process = subprocess.Popen(  # noqa: S603 - the project's own command line
            [*COMMAND, *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        return Follower(process, self._narrator, self.name)


@dataclass
class Follower:
    """A running `events tail`; shows each line as it comes."""

    process: "subprocess.Popen[str]"
    narrator: Narrator
    name: str
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._came = threading.Condition()
        self._reader = threading.Thread(target=self._read, name="events", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.narrator.say(f"▸ {self.name} sees  {line.rstrip()}", "cyan", indent=2)
            with self._came:
                self.lines.append(line)
                self._came.notify_all()

    def saw(self, parts: Sequence[str], *, since: int) -> bool:
        """Wait until a line after the first `since` holds all the parts; False if none comes."""
        return self._wait(lambda: any(all(part in line for part in parts) for line in self.lines[since:]))

    def _wait(self, condition: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        with self._came:
            while not condition():
                left = deadline - time.monotonic()
                if left <= 0 or self.process.poll() is not None:
                    return condition()
                self._came.wait(min(left, 1.0))
        return True

    def stop(self) -> None:
        """End the tail."""
        self.process.terminate()
        self.process.wait()
        self._reader.join()
