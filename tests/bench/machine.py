"""What the figures were measured on: facts, and two fixed pieces of work that calibrate it."""

import os
import platform
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

ADDITIONS = 10_000_000
_SYNCS = 200
_BLOCK = b"\x00" * 4096


_LOOP = compile("for _ in range(additions):\n    total += 1", "<loop>", "exec")


def addition_loop_cpu_seconds() -> float:
    """CPU time of a fixed loop of ten million CPython additions: the unit in which CPU is told.

    Run as a script runs it, with global names; inside a function the same loop takes less than half.
    """
    begun = time.process_time()
    exec(_LOOP, {"additions": ADDITIONS, "total": 0})  # noqa: S102 - the three lines above
    return time.process_time() - begun


def addition_loop_in_function_cpu_seconds() -> float:
    """The same with local names, for whoever means that."""
    begun = time.process_time()
    total = 0
    for _ in range(ADDITIONS):
        total += 1  # noqa: SIM113 - the additions are the work
    return time.process_time() - begun


def fdatasync_seconds(folder: Path) -> float:
    """The median time of writing 4 KiB to the disk of the folder and having it there."""
    path = folder / "fdatasync"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    taken = []
    try:
        for _ in range(_SYNCS):
            os.write(descriptor, _BLOCK)
            begun = time.perf_counter()
            os.fdatasync(descriptor)
            taken.append(time.perf_counter() - begun)
    finally:
        os.close(descriptor)
        path.unlink()
    return statistics.median(taken)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The machine, the versions, and its calibration at the begin of a run."""

    processor: str
    cores: int
    memory_gib: float
    kernel: str
    python: str
    mongod: str
    load_average: float
    """Of the minute before the run: far from 0, others were at work."""
    loop_cpu_seconds: float
    loop_in_function_cpu_seconds: float
    fdatasync_milliseconds: float

    @classmethod
    def measured(cls, mongod: str, folder: Path) -> "Machine":
        """Look at the machine and calibrate it, with the disk of the folder."""
        load = os.getloadavg()[0]
        version = subprocess.run(
            [mongod, "--version"], capture_output=True, text=True, check=True, timeout=10
        )
        return cls(
            processor=_processor(),
            cores=psutil.cpu_count() or 0,
            memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
            kernel=platform.release(),
            python=platform.python_version(),
            mongod=version.stdout.split("\n", 1)[0].removeprefix("db version v"),
            load_average=round(load, 2),
            loop_cpu_seconds=addition_loop_cpu_seconds(),
            loop_in_function_cpu_seconds=addition_loop_in_function_cpu_seconds(),
            fdatasync_milliseconds=fdatasync_seconds(folder) * 1000,
        )

    def __str__(self) -> str:
        return (
            f"{self.cores} cores ({self.processor}), {self.memory_gib:g} GiB, Linux {self.kernel}, "
            f"Python {self.python}, mongod {self.mongod}, load average before the run {self.load_average:g}; "
            f"loop of 10,000,000 additions {self.loop_cpu_seconds:.2f} CPU s "
            f"({self.loop_in_function_cpu_seconds:.2f} within a function), "
            f"4 KiB fdatasync {self.fdatasync_milliseconds:.2f} ms (median)"
        )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
