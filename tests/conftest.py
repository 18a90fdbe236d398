"""Fixtures that all tests may ask for, which tests are long campaigns, and the end of a run."""

import faulthandler
import sys
from pathlib import Path

import pytest

pytest_plugins = [
    "tests.support.mongo",
    "tests.support.kafka",
    "tests.support.notifier",
    "tests.support.bank",
]

_CAMPAIGNS = Path(__file__).parent / "faults"
_END_SECONDS = 120


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the campaigns by their folder; `make faults` runs what is marked, `make test` what is not."""
    for item in items:
        if item.path.is_relative_to(_CAMPAIGNS):
            item.add_marker("campaign")


def pytest_unconfigure() -> None:
    """Let a run that does not end after its last line say what it waits for, and fail."""
    faulthandler.dump_traceback_later(_END_SECONDS, exit=True, file=sys.__stderr__)
