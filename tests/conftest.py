"""Fixtures that all tests may ask for, and the end of a run."""

import faulthandler
import sys

pytest_plugins = [
    "tests.support.mongo",
    "tests.support.kafka",
    "tests.support.notifier",
    "tests.support.bank",
]

_END_SECONDS = 120


def pytest_unconfigure() -> None:
    """Let a run that does not end after its last line say what it waits for, and fail."""
    faulthandler.dump_traceback_later(_END_SECONDS, exit=True, file=sys.__stderr__)
