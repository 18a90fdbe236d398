"""Fixtures that all tests may ask for, which tests are campaigns, who runs what, and the end of a run."""

import faulthandler
import os
import sys
from collections import defaultdict
from pathlib import Path

import pytest

pytest_plugins = [
    "tests.support.driver_connections",
    "tests.support.mongo",
    "tests.support.kafka",
    "tests.support.notifier",
    "tests.support.bank",
    "tests.faults.report",
]

_CAMPAIGNS = Path(__file__).parent / "faults"
_COSTLY_SERVERS = {"stack": "stack", "kafka_broker": "kafka"}
"""Fixtures that take long to start, and the group of the tests that use each; the longest group first."""
_END_SECONDS = 120


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the campaigns by their folder, and what one worker has to run.

    `make faults` runs what is marked, `make test` what is not. Workers have servers of their own. All tests
    that use a costly one belong to one worker, and so do the tests of a file, which share what it has made.
    """
    for item in items:
        if item.path.is_relative_to(_CAMPAIGNS):
            item.add_marker("campaign")
    if not hasattr(config, "workerinput"):
        return
    groups = _groups(items)
    ranks = {group: rank for rank, group in enumerate(_COSTLY_SERVERS.values())}
    alone = {item for item in items if item.get_closest_marker("xdist_group") is not None}
    for item in set(items) - alone:
        item.add_marker(pytest.mark.xdist_group(groups[item.path]))
    # Tests that stand alone come last: they fill what is left of the workers' time.
    items.sort(key=lambda item: len(ranks) + 1 if item in alone else ranks.get(groups[item.path], len(ranks)))


def _groups(items: list[pytest.Item]) -> dict[Path, str]:
    fixtures: defaultdict[Path, set[str]] = defaultdict(set)
    for item in items:
        fixtures[item.path].update(getattr(item, "fixturenames", ()))
    return {
        path: next((group for server, group in _COSTLY_SERVERS.items() if server in used), path.stem)
        for path, used in fixtures.items()
    }


def pytest_unconfigure() -> None:
    """Let a run that does not end after its last line say what it waits for, and fail."""
    if "MUTANT_UNDER_TEST" in os.environ:
        # The mutation tester outlives each of its runs of pytest.
        return
    faulthandler.dump_traceback_later(_END_SECONDS, exit=True, file=sys.__stderr__)
