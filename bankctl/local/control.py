"""What commands do with the supervisor: start it, wait for it, end it, clear up after a killed one."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import psutil

from bankctl.errors import CliError, ExitStatus
from bankctl.local.follow import last_lines
from bankctl.local.identity import PART_MARK, STACK_MARK, SUPERVISOR, Identity, marked
from bankctl.local.layout import Layout
from bankctl.local.part import Health
from bankctl.local.process_runner import starting_line
from bankctl.local.progress import Progress
from bankctl.local.shutdown import Victim, stop
from bankctl.local.state import StackState

_POLL_SECONDS = 0.05
_SUPERVISOR_START_SECONDS = 30.0
_SUPERVISOR_STOP_SECONDS = 60.0
_RETRY_SEEN_SECONDS = 5.0
_ROUNDS_TO_END_ALL = 3
_FAILURES_TO_GIVE_UP = 3
_LOG_LINES = 15
# The order of a regular stop: daemons, gateway, servers.
_RANKS = {"gateway": 1, "kafka": 2, "mongod": 2}


@contextmanager
def alone(layout: Layout) -> Iterator[None]:
    """Let one command at a time change a stack; the system frees the lock however the command ends.

    Raises:
        CliError: another one is at it.
    """
    layout.command_lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with layout.command_lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CliError(
                f"another command is changing the stack '{layout.name}'",
                exit_status=ExitStatus.CONFLICT,
                hint="wait until it has finished, then try again",
                code="stack_busy",
            ) from None
        yield


def start_supervisor(layout: Layout) -> None:
    """Start the supervisor, and wait until it says that it runs.

    Raises:
        CliError: it does not start; the message holds the last lines of its log.
    """
    with layout.rotate("supervisor").open("ab") as log:
        launched = subprocess.run(
            [sys.executable, "-m", "bankctl.local.supervisor", layout.name],
            env={**os.environ, STACK_MARK: layout.mark, PART_MARK: SUPERVISOR},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            check=False,
            timeout=_SUPERVISOR_START_SECONDS,
        )
    deadline = time.monotonic() + _SUPERVISOR_START_SECONDS
    while launched.returncode == 0 and time.monotonic() < deadline:
        if StackState.load(layout).supervised:
            return
        time.sleep(_POLL_SECONDS)
    raise failure(layout, "supervisor", "the supervisor did not start")


def retry(layout: Layout) -> None:
    """Let the running supervisor try at once what it has given up or put off."""
    state = StackState.observe(layout)
    process = state.supervisor.process() if state.supervisor else None
    if process:
        written = _written_at(layout)
        process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + _RETRY_SEEN_SECONDS
        while _written_at(layout) == written and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)


def _written_at(layout: Layout) -> int | None:
    try:
        return layout.state.stat().st_mtime_ns
    except OSError:
        return None


def await_health(layout: Layout, progress: Progress, *, timeout_seconds: float) -> None:
    """Wait until every part is healthy.

    Raises:
        CliError: a part fails or takes too long; names it, why, and the last lines of its log.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        state = StackState.observe(layout)
        progress.parts(list(state.parts.values()))
        for part in state.parts.values():
            if part.health is Health.FAILED or part.failures >= _FAILURES_TO_GIVE_UP:
                raise failure(layout, part.name, f"{part.name} does not start: {part.detail}")
        late = [part for part in state.parts.values() if part.health is not Health.HEALTHY]
        if not state.supervised:
            raise failure(layout, "supervisor", "the supervisor has ended")
        if state.parts and not late:
            return
        if time.monotonic() > deadline:
            why = late[0].detail or late[0].health
            raise failure(
                layout, late[0].name, f"{late[0].name} is not healthy after {timeout_seconds:g} s: {why}"
            )
        time.sleep(_POLL_SECONDS)


def failure(layout: Layout, part: str, message: str) -> CliError:
    """The error of a part that does not come up, with what its log says."""
    lines = last_lines(layout.log(part), _LOG_LINES)
    # What an earlier run wrote does not explain this one.
    starts = [index for index, line in enumerate(lines) if line == starting_line(part)]
    lines = lines[starts[-1] + 1 :] if starts else lines
    shown = "\n".join(f"  {line}" for line in lines) or "  (it is empty)"
    return CliError(
        f"{message}\nThe last lines of {layout.log(part)}:\n{shown}",
        exit_status=ExitStatus.UNEXPECTED,
        hint=f"fix what these lines report, then: {command(layout, 'up')}",
        code="part_not_healthy",
        details={"part": part, "log": lines},
    )


def end_all(layout: Layout) -> bool:
    """End the supervisor and every process of the stack, and return whether anything ran.

    They are found by the marks in their environment; what the state file says is only added to that.

    Raises:
        CliError: a process can't be ended.
    """
    ran = False
    for _ in range(_ROUNDS_TO_END_ALL):
        supervisors = _supervisors(layout)
        _end_supervisors(supervisors)
        # After a regular stop nothing is found here; after a killed supervisor this is the stop.
        left = {found.identity.pid: (found.part, found.identity) for found in marked(layout.mark)}
        recorded = StackState.load(layout).identities()
        left |= {identity.pid: (part, identity) for part, identity in recorded.items()}
        if not supervisors and not left:
            return ran
        ran = True
        survivors = stop(
            Victim(part, identity, _RANKS.get(part, 0), seconds=20.0) for part, identity in left.values()
        )
        if survivors:
            break
    else:
        survivors = [Victim(found.part, found.identity) for found in marked(layout.mark)]
    if not survivors:
        return ran
    raise CliError(
        "can't be stopped: " + ", ".join(f"{it.name} (pid {it.identity.pid})" for it in survivors),
        exit_status=ExitStatus.UNEXPECTED,
        hint="they may belong to another user; stop them by hand",
        code="not_stopped",
    )


def _supervisors(layout: Layout) -> list[Identity]:
    found = {it.identity.pid: it.identity for it in marked(layout.mark) if it.part == SUPERVISOR}
    state = StackState.load(layout)
    if state.supervisor is not None and state.supervised:
        found[state.supervisor.pid] = state.supervisor
    return list(found.values())


def _end_supervisors(supervisors: Sequence[Identity]) -> None:
    """Let supervisors stop their parts; one that does not is killed, so that it starts nothing any more."""
    for supervisor in supervisors:
        for number in (signal.SIGTERM, signal.SIGCONT):
            if process := supervisor.process():
                with suppress(psutil.Error):
                    process.send_signal(number)
    deadline = time.monotonic() + _SUPERVISOR_STOP_SECONDS
    while any(supervisor.alive() for supervisor in supervisors) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    stop(Victim(SUPERVISOR, supervisor, seconds=0.0) for supervisor in supervisors)


def command(layout: Layout, verb: str) -> str:
    """The command line that does `verb` with this stack."""
    return f"bankctl dev {verb}" + ("" if layout.name == "local" else f" --stack {layout.name}")
