"""`python -m tests.soak.planted [BUG ...]`: plant each bug and see that the suite catches it.

Each test is run without a bug as well, for a test that fails anyway catches nothing. Prints the table bug,
test, caught; status 1 if one is not. Each run has a MongoDB and a Kafka of its own and takes minutes.
"""

import functools
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from tests.faults.planted_bugs import BUGS
from tests.faults.planting import VARIABLE

ROOT = Path(__file__).parents[2]
_FAULTS = "tests/faults"
_AWAITS = f"{_FAULTS}/test_crash_points.py::test_crashes_at_every_point_lose_nothing"
_LEDGER = "tests/integration/banking_api/test_shared_ledger.py"
_MACHINE = f"{_FAULTS}/test_state_machine.py::test_the_bank_is_as_the_model_says"
CATCHES = {
    "no unique index": f"{_FAULTS}/test_conversations.py::"
    "test_one_key_a_hundred_times_at_once_over_two_processes",
    "outbox outside the transaction": f"{_AWAITS}[banking_api]",
    "auto-commit consumer": f"{_AWAITS}[notifier]",
    "commit before effect": f"{_AWAITS}[notifier]",
    "w:1": f"{_FAULTS}/test_replica_set.py::test_a_lost_primary_loses_nothing[partition]",
    "ownership check dropped": _MACHINE,
    "frozen check dropped": _MACHINE,
    "history index not unique": f"{_LEDGER}::test_a_hot_account_is_paid_by_both_at_once",
    "refusals told on stale knowledge": f"{_LEDGER}::"
    "test_a_refusal_for_want_of_funds_that_have_come_is_not_told",
    "freeze takes no number": f"{_LEDGER}::test_a_freeze_stops_payments_that_are_under_way",
    "kept before the commit": f"{_FAULTS}/test_conversations.py::test_failing_commands_lose_nothing",
    "decided on what is kept": f"{_FAULTS}/test_conversations.py::test_failing_commands_lose_nothing",
    "committed before those before": "tests/integration/banking_api/test_groups_in_order.py::"
    "test_what_rests_on_an_undone_group_is_undone",
    "batches follow whatever was before": "tests/service/banking_api/test_batches_in_succession.py::"
    "test_nothing_is_paid_behind_a_batch_that_fails_when_it_is_written",
    "notes tell no status": "tests/integration/banking_api/test_ledger_turns.py::"
    "test_a_note_tells_the_whole_state_that_a_number_stands_for",
    "replay ignores the fingerprint": _MACHINE,
    "removed before published": f"{_AWAITS}[banking_api]",
    "no deduplication": f"{_AWAITS}[notifier]",
    "told before committed": _MACHINE,
}
_TESTS_FAILED = 1


def run(bug: str) -> tuple[bool, str, float]:
    """Run the test that has to catch the bug; returns whether it did, what it said, and its seconds."""
    failed, said, seconds = _run(CATCHES[bug], bug)
    if failed and not _passes_without_a_bug(CATCHES[bug]):
        return False, "fails without the bug, too", seconds
    return failed, said, seconds


@functools.cache
def _passes_without_a_bug(test: str) -> bool:
    return not _run(test, "")[0]


def _run(test: str, bug: str) -> tuple[bool, str, float]:
    started = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--tb=short", test]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, VARIABLE: bug},
        capture_output=True,
        text=True,
        check=False,
    )
    # An error while setting up (other letters than F) is no catch.
    failed = (
        done.returncode == _TESTS_FAILED and re.search(r"^FAILED ", done.stdout, re.MULTILINE) is not None
    )
    # Hypothesis ends a run of a test by an exception of its own, which stands before what went wrong in it.
    said = [
        line[1:].strip()
        for line in done.stdout.splitlines()
        if re.match(r"E   +\S", line) and "hypothesis.errors.StopTest" not in line
    ]
    return failed, (said[0] if said else done.stdout[-200:])[:110], time.monotonic() - started


def main() -> int:
    """Plant the named bugs, or all."""
    missed = 0
    sys.stdout.write("| bug | caught by | caught | what it said | seconds |\n|---|---|---|---|---:|\n")
    for bug in sys.argv[1:] or BUGS:
        caught, said, seconds = run(bug)
        missed += not caught
        test = CATCHES[bug].rpartition("::")[2]
        sys.stdout.write(f"| {bug} | `{test}` | {'yes' if caught else 'NO'} | {said} | {seconds:.0f} |\n")
        sys.stdout.flush()
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
