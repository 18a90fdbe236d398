"""What the figures were measured on: facts, and two fixed pieces of work that calibrate it."""

import os
import platform
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil

ADDITIONS = 10_000_000
_SYNCS = 200
_BLOCK = b"\x00" * 4096


def addition_loop_cpu_seconds() -> float:
    """CPU time of a fixed loop of ten million CPython additions: the unit in which CPU is told."""
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


def facts(mongod: str) -> dict[str, Any]:
    """Describe machine and versions; the load average tells whether others were at work."""
    version = subprocess.run([mongod, "--version"], capture_output=True, text=True, check=True, timeout=10)
    return {
        "cores": psutil.cpu_count(),
        "processor": _processor(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "mongod": version.stdout.split("\n", 1)[0].removeprefix("db version v"),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
