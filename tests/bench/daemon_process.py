"""A daemon as a real process on a free port, ready when it answers, and what it has used."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from bankctl.local import ports
from tests.bench.load_process import REPOSITORY
from tests.support.ending import stop

_START_TIMEOUT_SECONDS = 60
_STOP_TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class DaemonProcess:
    """A running daemon."""

    port: int
    process: psutil.Process

    @property
    def url(self) -> str:
        return f"http://{ports.LOOPBACK}:{self.port}"


@contextmanager
def running_daemon(module: str, environment: Mapping[str, str], *, log: Path) -> Iterator[DaemonProcess]:
    """Run `python -m module` and yield it once it serves.

    Raises:
        RuntimeError: it ended, or did not serve in time; the error has the end of its log.
    """
    [port] = ports.pick(1)
    inherited = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    # A handful of users send what a bank full of them would; what one may send is not what is measured.
    counted = ("CALLER_REQUESTS", "CALLER_ROWS", "ADDRESS_REQUESTS")
    unlimited = {f"{name}_PER_SECOND": "0" for name in counted}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            env={**inherited, "PORT": str(port), "LOG_LEVEL": "warning", **unlimited, **environment},
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        daemon = DaemonProcess(port, psutil.Process(process.pid))
        _await_serving(process, daemon, log)
        yield daemon
    finally:
        stop(process, patience_seconds=_STOP_TIMEOUT_SECONDS)


def _await_serving(process: subprocess.Popen[bytes], daemon: DaemonProcess, log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_SECONDS
    while True:
        try:
            # It listens only once all of it has started; whether Kafka answers is not waited for.
            httpx.get(f"{daemon.url}/healthz", timeout=5, trust_env=False).raise_for_status()
        except httpx.HTTPError:
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(encoding="utf-8")[-2000:]
                raise RuntimeError(f"a daemon does not serve; the end of its log:\n{said}") from None
            time.sleep(0.05)
        else:
            return


def cpu_seconds(processes: Sequence[psutil.Process]) -> list[float]:
    """CPU time that each process has used so far, in user and kernel mode."""
    used = [process.cpu_times() for process in processes]
    return [times.user + times.system for times in used]


def resident_mebibytes(process: psutil.Process) -> float:
    """Memory of a process that is in RAM."""
    return float(process.memory_info().rss) / 2**20
