"""`python -m tests.soak.planted [BUG ...]`: plant each bug and see that the suite catches it.

Prints the table bug, test, caught; status 1 if one is not. Each run has servers of its own. `make faults`
plants them all as well (tests/faults/test_planted_bugs.py).
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.planted_bugs import BUGS
from tests.faults.planting import VARIABLE

ROOT = Path(__file__).parents[2]
_FAULTS = "tests/faults"
_INTEGRATION = "tests/integration/banking_api"
# One action at each point is enough to be caught, and a few of the runs that the state machine draws.
_EXITS, _FEW = {"CRASH_ACTIONS": "exit"}, {"MACHINE_EXAMPLES": "30"}


# Servers that do not come up, or do not elect: no bug of the daemons is the reason.
_NO_CATCH = re.compile(
    r"waited \S+ s for (a primary|secondaries|Kafka to serve|\S+ to be ready|\S+ to step down)"
)


@dataclass(frozen=True)
class Catch:
    """The test that has to catch a bug, and the form of it that is enough."""

    test: str
    environment: Mapping[str, str] = field(default_factory=dict)


def _in(module: str, test: str) -> Catch:
    return Catch(f"{_INTEGRATION}/{module}.py::{test}")


def _ledgers(test: str) -> Catch:
    return _in("test_pipeline_contended", test)


_AWAITS = f"{_FAULTS}/test_crash_points.py::test_crashes_at_every_point_lose_nothing"
_AT_BANKING_API, _AT_NOTIFIER = (Catch(f"{_AWAITS}[{kind}]", _EXITS) for kind in ("banking_api", "notifier"))
_MACHINE = Catch(f"{_FAULTS}/test_state_machine.py::test_the_bank_is_as_the_model_says", _FEW)
_FAILING = Catch(f"{_FAULTS}/test_conversations.py::test_failing_commands_lose_nothing")
_BATCHES = "tests/service/banking_api"
CATCHES = {
    "no unique index": _ledgers("test_an_old_key_is_known_to_a_process_that_has_never_seen_it"),
    "seals outside the transaction": _in(
        "test_relay_feed", "test_a_group_that_was_undone_leaves_no_seal_behind"
    ),
    "auto-commit consumer": _AT_NOTIFIER,
    "commit before effect": _AT_NOTIFIER,
    "w:1": Catch(f"{_FAULTS}/test_replica_set.py::test_a_lost_primary_loses_nothing[partition]"),
    "ownership check dropped": _MACHINE,
    "frozen check dropped": _MACHINE,
    "history index not unique": _ledgers("test_a_number_that_a_killed_process_has_taken_is_not_given_again"),
    "seals take any number": _ledgers("test_a_refusal_for_want_of_funds_that_have_come_is_not_told"),
    "refusals told on stale knowledge": _ledgers(
        "test_a_refusal_that_is_not_kept_is_told_on_the_newest_state_only"
    ),
    "refusals told on accounts that lag": _ledgers(
        "test_a_process_that_was_killed_leaves_numbers_behind_and_the_next_finds_them"
    ),
    "refusals told without a look for the key": _in(
        "test_pipeline_unknown_commits",
        "test_what_would_be_refused_now_is_found_by_its_key_where_it_was_done_before",
    ),
    "freeze takes no number": _in(
        "test_node_takeover", "test_a_freeze_stops_payments_that_are_under_way_through_any_process"
    ),
    "terms written later": _ledgers(
        "test_a_process_that_was_killed_leaves_terms_behind_and_the_next_finds_them"
    ),
    "tally not counted": Catch(f"{_BATCHES}/test_limits.py::test_nobody_opens_accounts_without_end"),
    "kept before the commit": _FAILING,
    "decided on what is kept": _FAILING,
    "committed before those before": _in(
        "test_pipeline_order", "test_what_rests_on_an_undone_group_is_undone"
    ),
    "batches follow whatever was before": Catch(
        f"{_BATCHES}/test_batches_in_succession.py::"
        "test_nothing_is_paid_behind_a_batch_that_fails_when_it_is_written"
    ),
    "atomic batches row by row": _in(
        "test_pipeline_atomic", "test_nothing_is_posted_on_what_others_have_changed"
    ),
    "replay ignores the fingerprint": _MACHINE,
    "sent again as another command": _in(
        "test_node_takeover", "test_a_command_whose_answer_was_lost_is_sent_again_as_the_same_command"
    ),
    "second sending tells of both": _in(
        "test_node_takeover",
        "test_what_was_done_is_not_told_as_not_done_because_the_second_sending_was_not",
    ),
    "lost lease not noticed": _in(
        "test_node_takeover", "test_a_ledger_that_has_lost_its_lease_becomes_a_front"
    ),
    "lease of another released": _in(
        "test_node_takeover", "test_a_ledger_that_stops_after_it_has_lost_its_lease_leaves_it_to_the_other"
    ),
    "position before the confirmation": _AT_BANKING_API,
    "gaps passed over": _in("test_relay_feed", "test_a_commit_that_was_not_answered_is_not_passed_over"),
    "no deduplication": _AT_NOTIFIER,
    "told before committed": _MACHINE,
}
_TESTS_FAILED = 1


@dataclass(frozen=True)
class Found:
    """What became of a run with a bug planted."""

    caught: bool
    said: str
    seconds: float


def run(bug: str) -> Found:
    """Run the test that has to catch the bug, with the bug planted."""
    started, catch = time.monotonic(), CATCHES[bug]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--tb=short", catch.test]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **catch.environment, VARIABLE: bug},
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
    first = (said[0] if said else done.stdout[-200:])[:300]
    return Found(failed and not _NO_CATCH.search(first), first, time.monotonic() - started)


def main() -> int:
    """Plant the named bugs, or all."""
    missed = 0
    sys.stdout.write("| bug | caught by | caught | what it said | seconds |\n|---|---|---|---|---:|\n")
    for bug in sys.argv[1:] or BUGS:
        found, catch = run(bug), CATCHES[bug]
        missed += not found.caught
        test, caught = catch.test.rpartition("::")[2], "yes" if found.caught else "NO"
        said = found.said[:110]
        sys.stdout.write(f"| {bug} | `{test}` | {caught} | {said} | {found.seconds:.0f} |\n")
        sys.stdout.flush()
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
