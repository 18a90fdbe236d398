"""`make breaks`: breaks each item of docs/security.md in a copy of the product, and sees its test fail.

Each run has one break and one test. It fails if a test passes in spite of its break, or if an item has no
break (breaks.toml).
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tests.security_breaks.breaks import REPOSITORY, Break, breaks, items
from tests.support.mongo import GIVEN_SERVER, running_mongod

_LEFT_OUT = shutil.ignore_patterns(".*", "mutants")
_TIMEOUT_SECONDS = 600
_TESTS_FAILED = 1
# What a slow machine may be the reason of proves nothing.
_NO_CATCH = re.compile(r"Timeout|timed out|waited \S+ s for|ServerSelection")


@dataclass(frozen=True)
class Found:
    """What became of the test."""

    caught: bool
    said: str
    seconds: float


def main() -> int:
    """Run the chosen breaks, or all; return 1 if one is not caught or an item has none."""
    arguments = _arguments()
    chosen = [one for one in breaks() if not arguments.items or one.item in arguments.items]
    missed = 0
    _say("| item | what is broken | caught by | caught | what it said | seconds |")
    _say("|---|---|---|---|---|---:|")
    with (
        tempfile.TemporaryDirectory(prefix="bankctl-breaks-") as folder,
        running_mongod(Path(folder)) as uri,
        ThreadPoolExecutor(arguments.workers) as pool,
    ):
        runs = {pool.submit(_run, one, uri): one for one in chosen}
        for run in as_completed(runs):
            one, found = runs[run], run.result()
            missed += not found.caught
            answer, test = "yes" if found.caught else "NO", one.test.rpartition("::")[2]
            said = found.said.replace("|", "/")[:90]
            _say(f"| {one.item} | {one.broken} | `{test}` | {answer} | {said} | {found.seconds:.0f} |")
    unbroken = [item for item in items() if not any(one.is_of(item) for one in breaks())]
    tests = {test for item in items() for test in item.tests}
    proved = {one.test for one in breaks()}
    _say(f"{len(chosen) - missed} of {len(chosen)} breaks caught")
    _say(f"{len(tests & proved)} of the {len(tests)} tests of the document have a break")
    for item in unbroken:
        _say(f"no break: {item.text}")
    return 1 if missed or unbroken or not chosen else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make breaks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("items", nargs="*", help="only these items, such as 7 or 'second factor'")
    parser.add_argument("--workers", type=int, default=2, help="how many breaks at a time")
    return parser.parse_args()


def _run(one: Break, mongo_uri: str) -> Found:
    """Run the test against a copy of the product that has the break.

    A copy, because daemons and commands that the test starts as processes must have the break as well.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bankctl-break-") as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(REPOSITORY, copy, ignore=_LEFT_OUT)
        one.apply(copy)
        if fault := _undefined_names(copy / one.file):
            return Found(caught=False, said=fault, seconds=time.monotonic() - started)
        # Loading a plugin that none of these tests uses takes longer than most of them.
        options = ("-x", "-q", "-n0", "--no-header", "--tb=short", "-p", "no:schemathesis")
        try:
            done = subprocess.run(
                [sys.executable, "-m", "pytest", *options, one.node_id],
                cwd=copy,
                env={
                    **os.environ,
                    GIVEN_SERVER: mongo_uri,
                    # Before the folder that the environment's own packages name.
                    "PYTHONPATH": str(copy),
                },
                capture_output=True,
                text=True,
                check=False,
                timeout=_TIMEOUT_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return Found(caught=False, said="the test does not end", seconds=time.monotonic() - started)
    # An error while setting up or collecting is no catch.
    failed = re.search(r"^FAILED ", done.stdout, re.MULTILINE) is not None
    told = [line[1:].strip() for line in done.stdout.splitlines() if re.match(r"E   +\S", line)]
    said = told[0] if told else done.stdout[-200:].strip().replace("\n", " ")
    return Found(
        caught=done.returncode == _TESTS_FAILED and failed and not _NO_CATCH.search(said),
        said=said,
        seconds=time.monotonic() - started,
    )


def _undefined_names(file: Path) -> str:
    """Say what a broken module does not know: it would fail wherever it is run, which proves nothing."""
    if file.suffix != ".py":
        return ""
    options = ("--isolated", "--quiet", "--select=F821", "--output-format=concise")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["ruff", "check", *options, str(file)],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
