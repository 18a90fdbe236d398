"""Delivers one batch, patient with a bank that is away for a while, and never before its turn."""

import time
from collections.abc import Sequence
from typing import Any

from bankctl.client.bank import BankClient
from bankctl.errors import CliError, ExitStatus
from bankctl.payments.sender import Answers, SentBatch
from bankctl.render import messages
from daemons.contracts.errors import Category
from daemons.contracts.names import Code, RowOutcome

OUTCOMES = frozenset(RowOutcome)
# A bank of several processes may not know the batch that another process has at work.
_REFUSALS_BEFORE_WAITING = 3
_LONGEST_PAUSE_SECONDS = 5.0
_MUST_WAIT = Code.BATCH_BEFORE_NOT_SETTLED
_PASSING = frozenset({ExitStatus.UNREACHABLE, ExitStatus.OUTCOME_UNKNOWN})
_NOT_PASSING_CODES = frozenset({"tls_untrusted", "tls_certificate_missing", "tls_clock_wrong"})
# A row refused for one of these may still be paid when it is sent again.
_UNSETTLED_CATEGORIES = frozenset(
    {Category.TRANSIENT, Category.OUTCOME_UNKNOWN, Category.INTERNAL, Category.UNAUTHENTICATED}
)
_UNSETTLED_CODES = frozenset({Code.KEY_IN_USE, _MUST_WAIT})


class Delivery:
    """Sends batches, each behind the one before it; used by several threads at once."""

    def __init__(self, bank: BankClient, wait_seconds: float, *, atomic: bool) -> None:
        self._bank = bank
        self._wait_seconds = wait_seconds
        self._atomic = atomic
        self._refusals = 0

    def deliver(self, sent: SentBatch) -> Answers:
        """Send a batch, again and again while the bank is away: the keys make it pay once.

        Raises:
            CliError: the bank stayed away for too long, or refused the batch; or the batch before has failed.
        """
        behind = sent.behind
        if behind is not None and (behind.is_done or self._refusals >= _REFUSALS_BEFORE_WAITING):
            behind.answers()
            behind = None
        doubted = False
        if behind is not None:
            try:
                return self._send(sent, behind, doubted=False)
            except _MustWaitError as refused:
                # This time nothing of the batch was done; whatever ended the one before it ends the run.
                doubted = refused.doubted
                behind.answers()
        return self._send(sent, None, doubted=doubted)

    def _send(self, sent: SentBatch, behind: SentBatch | None, *, doubted: bool) -> Answers:
        after = None if behind is None else str(behind.batch[-1]["idempotency_key"])
        deadline = time.monotonic() + self._wait_seconds
        pause_seconds = 0.2
        while True:
            try:
                answer = self._bank.transactions.batch(
                    sent.batch, after=after, atomic=self._atomic, confirmation=sent.confirmation
                )
                doubted = doubted or answer.doubted
                answers: Answers = answer.data["results"]
                _refuse_unsettled(answers)
                if self._atomic and doubted:
                    _refuse_doubtful(answers)
            except CliError as error:
                if after is not None and error.code == _MUST_WAIT:
                    self._refusals += 1
                    raise _MustWaitError(doubted=doubted) from error
                if behind is not None and behind.is_done:
                    # Whatever ended the one before it ends the run.
                    behind.answers()
                doubted = doubted or error.exit_status is ExitStatus.OUTCOME_UNKNOWN
                passing = error.exit_status in _PASSING and error.code not in _NOT_PASSING_CODES
                if not passing or time.monotonic() + pause_seconds > deadline:
                    raise _stopped(error, doubted=doubted) from error
                if behind is None or behind.is_done:
                    messages.note(f"{error.message}; waiting for the bank")
                time.sleep(pause_seconds)
                pause_seconds = min(pause_seconds * 2, _LONGEST_PAUSE_SECONDS)
            else:
                if after is not None:
                    self._refusals = 0
                # What is replayed then may be what this command did, and is not called an earlier payment.
                return [{**result, "replayed": False} for result in answers] if doubted else answers


class _MustWaitError(Exception):
    """The bank does not know that the batch before is settled; `doubted` if an earlier attempt was cut."""

    def __init__(self, *, doubted: bool) -> None:
        super().__init__()
        self.doubted = doubted


def _refuse_unsettled(answers: Sequence[dict[str, Any]]) -> None:
    for answer in answers:
        if answer["outcome"] == "completed":
            continue
        problem = answer.get("problem") or {}
        code, category = problem.get("code", "outcome_unknown"), problem.get("category")
        unsettled = category in _UNSETTLED_CATEGORIES or code in _UNSETTLED_CODES
        if answer["outcome"] not in OUTCOMES or (answer["outcome"] == "refused" and unsettled):
            raise CliError(
                f"the outcome of a row is not known yet: {problem.get('detail') or code}",
                exit_status=ExitStatus.OUTCOME_UNKNOWN,
                code=str(code),
                request_id=problem.get("request_id"),
            )


def _refuse_doubtful(answers: Sequence[dict[str, Any]]) -> None:
    """Refuse to take the refusal of an atomic batch for final if an earlier sending may still be at work."""
    if any(answer["outcome"] != "completed" for answer in answers):
        raise CliError(
            "the bank refused the rows, but may have paid them after the connection was lost",
            exit_status=ExitStatus.OUTCOME_UNKNOWN,
            code="outcome_unknown",
        )


def _stopped(error: CliError, *, doubted: bool) -> CliError:
    unreached = error.exit_status is ExitStatus.UNREACHABLE
    return CliError(
        f"stopped before the end of the file: {error.message}",
        exit_status=ExitStatus.OUTCOME_UNKNOWN if doubted and unreached else error.exit_status,
        hint="run the same command again: it continues where it stopped and pays nothing twice",
        code=error.code,
        request_id=error.request_id,
        details=error.details,
    )
