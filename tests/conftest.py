"""Fixtures that all tests may ask for, which tests are campaigns, and the end of a run."""

import faulthandler
import os
import sys
from pathlib import Path

import pytest

pytest_plugins = [
    "tests.support.workers",
    "tests.support.driver_connections",
    "tests.support.mongo",
    "tests.support.kafka",
    "tests.support.notifier",
    "tests.support.bank",
    "tests.faults.report",
]

_CAMPAIGNS = Path(__file__).parent / "faults"
_END_SECONDS = 120


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in the campaigns' folder; `make faults` runs what is marked, `make test` what is not."""
    for item in items:
        if item.path.is_relative_to(_CAMPAIGNS):
            item.add_marker("campaign")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Let a run that does not end after its last line say what it waits for, and fail."""
    if hasattr(config, "workerinput") or "MUTANT_UNDER_TEST" in os.environ:
        # A worker waits for the others; the mutation tester outlives each of its runs of pytest.
        return
    faulthandler.dump_traceback_later(_END_SECONDS, exit=True, file=sys.__stderr__)
