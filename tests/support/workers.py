"""Which tests one worker of pytest-xdist runs: each has servers of its own, and costly ones are started once.

The plugin's own `loadgroup` (3.8) does not group under pytest 9.2, which does not show names given later.
"""

import functools
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).parents[2]
_STACK, _KAFKA = "the whole stack", "one Kafka"
_LONG_BEFORE_SHORT = (_STACK, _KAFKA)
# Each of these has servers of its own; they come last and fill what is left of the workers' time.
_EACH_ALONE = "tests/faults/test_planted_bugs.py"


@functools.cache
def _of_file(file: str) -> str:
    text = (ROOT / file).read_text(encoding="utf-8")
    if file.startswith("tests/e2e/"):
        return _STACK
    return _KAFKA if "kafka_broker: str" in text or "telling_bank: " in text else file


def group(nodeid: str) -> str:
    """Return what the test's group is named by: what one worker has to run."""
    file = nodeid.partition("::")[0]
    return nodeid if file == _EACH_ALONE else _of_file(file)


def _rank(item: pytest.Item) -> int:
    found = group(item.nodeid)
    if found in _LONG_BEFORE_SHORT:
        return _LONG_BEFORE_SHORT.index(found)
    return len(_LONG_BEFORE_SHORT) + (found == item.nodeid)


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Gives a worker one group after another."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> GroupScheduling:
    """Schedule by these groups, whatever `--dist` says."""
    return GroupScheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Bring the longest groups to the front, for workers that take them in turn."""
    if hasattr(config, "workerinput"):
        items.sort(key=_rank)
