"""What a run of the campaigns tells at its end: the seed it drew from, and what the faults came to."""

import os
import random
from dataclasses import asdict

import pytest

from tests.faults.tally import Tallies, Tally

SEED_VARIABLE = "FAULT_SEED"
_TALLY = "tally"


def pytest_configure() -> None:
    """Draw the seed of this run unless one is given; workers have it from the environment."""
    os.environ.setdefault(SEED_VARIABLE, str(random.SystemRandom().randrange(1 << 30)))


def seed() -> int:
    """Return what victims and loads of this run are drawn from."""
    return int(os.environ[SEED_VARIABLE])


def dice(of: str) -> random.Random:
    """Return dice that fall alike in every run of the same seed, and otherwise for each test."""
    return random.Random(f"{seed()} {of}")  # noqa: S311 - a run must be repeatable from its seed


class TallyRecorder:
    """Takes a row for each kind of fault whose test has passed every check."""

    def __init__(self, node: pytest.Item) -> None:
        self._node = node

    def add(self, fault: str, times: int, tally: Tally) -> None:
        # The report of the test carries it, also from a worker.
        self._node.user_properties.append((_TALLY, [fault, times, asdict(tally)]))


@pytest.fixture
def tallies(request: pytest.FixtureRequest) -> TallyRecorder:
    """Takes what the faults of this test came to; shown at the end of the run."""
    return TallyRecorder(request.node)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    of_campaigns = [report for report in reports if "campaign" in report.keywords]
    if not of_campaigns:
        return
    rows = Tallies()
    for report in of_campaigns:
        for name, row in report.user_properties:
            if name == _TALLY and report.when == "call":
                fault, times, tally = row
                rows.add(fault, times, Tally(**tally))
    terminalreporter.section("faults injected: nothing lost, nothing twice")
    terminalreporter.write_line(
        f"drawn from the seed {seed()}: repeat with {SEED_VARIABLE}={seed()} make faults"
    )
    for line in rows.lines():
        terminalreporter.write_line(line)
