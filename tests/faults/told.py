"""What callers were told of each of their keys, and of each account whose terms they change."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tests.faults.bank_processes import Person, Reply

BENEFICIARY = {"name": "Elsewhere", "iban": "DE89370400440532013000"}


class Verdict(StrEnum):
    """What one answer says. `NOTHING`: time-outs, cuts, 5xx without a promise; anything may have happened."""

    COMPLETED = "completed"
    FAILED = "failed"
    REFUSED = "refused"  # of an atomic batch: a rule refused one of its rows, and nothing is kept
    NOT_DONE = "not_done"  # category transient or conflict: the bank says that it did nothing
    NOTHING = "nothing"


@dataclass
class Operation:
    """One idempotency key, what was asked under it, and every answer.

    Without a sender it is a funding, without a receiver a withdrawal; a reversal names what it reverses.
    """

    person: Person
    key: str
    sender: str | None
    receiver: str | None
    minor: int
    reverses: "Operation | None" = None
    verdicts: list[Verdict] = field(default_factory=list)
    transaction_ids: set[str] = field(default_factory=set)

    @property
    def path(self) -> str:
        if self.reverses is not None:
            [original] = self.reverses.transaction_ids
            return f"/transactions/{original}/reverse"
        if self.sender is None:
            return f"/accounts/{self.receiver}/fund"
        return "/transactions/withdraw" if self.receiver is None else "/transactions/transfer"

    @property
    def body(self) -> dict[str, Any]:
        # The reference carries the key into every list that shows the transaction.
        amount = f"{self.minor // 100}.{self.minor % 100:02d}"
        body: dict[str, Any] = {"amount": amount, "currency": "EUR"}
        if self.reverses is not None:
            return {**body, "reason": self.key}
        body["reference"] = self.key
        if self.sender is not None:
            body["from_account"] = self.sender
            outside = {"beneficiary": BENEFICIARY}
            body |= outside if self.receiver is None else {"to_account": self.receiver}
        return body

    @property
    def settled(self) -> Verdict | None:
        """Completed or failed, once either was told."""
        told = {Verdict.COMPLETED, Verdict.FAILED} & set(self.verdicts)
        assert len(told) < 2, f"key {self.key} was told both: {self.verdicts}"
        return told.pop() if told else None

    @property
    def promised_nothing_done(self) -> bool:
        """Whether every answer so far says that nothing was done."""
        return bool(self.verdicts) and set(self.verdicts) == {Verdict.NOT_DONE}

    def hear(self, answer: Reply) -> Verdict:
        """Note an answer. An answer that no rule allows fails the test."""
        verdict = _verdict_of(answer)
        self.verdicts.append(verdict)
        if verdict is Verdict.COMPLETED:
            self.transaction_ids.add(answer.body["id"])
        elif verdict is Verdict.FAILED:
            self.transaction_ids.add(answer.body["details"]["transaction_id"])
        assert len(self.transaction_ids) < 2, f"key {self.key} has several: {self.transaction_ids}"
        return verdict

    def hear_nothing(self) -> Verdict:
        self.verdicts.append(Verdict.NOTHING)
        return Verdict.NOTHING


@dataclass
class AtomicBatch:
    """Payments of one person of which all are done or none; `impossible` if a rule refuses one of them."""

    rows: list[Operation]
    impossible: bool
    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def person(self) -> Person:
        return self.rows[0].person

    @property
    def body(self) -> dict[str, object]:
        rows = [{**row.body, "idempotency_key": row.key} for row in self.rows]
        return {"atomic": True, "transfers": rows}

    @property
    def settled(self) -> Verdict | None:
        """Completed or refused, once either was told."""
        told = {Verdict.COMPLETED, Verdict.REFUSED} & set(self.verdicts)
        assert len(told) < 2, f"an atomic batch was told both: {self.verdicts}"
        return told.pop() if told else None

    @property
    def promised_nothing_done(self) -> bool:
        return bool(self.verdicts) and set(self.verdicts) == {Verdict.NOT_DONE}

    def hear(self, answer: Reply) -> Verdict:
        """Note an answer; its rows must have been told the same."""
        if answer.status == 200:
            results = answer.body["results"]
            told = {_verdict_of_row(result) for result in results}
            assert len(told) == 1, f"not all or none: {results}"
            [verdict] = told
            if verdict is Verdict.COMPLETED:
                for row, result in zip(self.rows, results, strict=True):
                    row.verdicts.append(Verdict.COMPLETED)
                    row.transaction_ids.add(result["transaction_id"])
                    assert len(row.transaction_ids) < 2, f"key {row.key} has several: {row.transaction_ids}"
        else:
            verdict = _verdict_of(answer)
        self.verdicts.append(verdict)
        return verdict

    def hear_nothing(self) -> Verdict:
        self.verdicts.append(Verdict.NOTHING)
        return Verdict.NOTHING


@dataclass
class OpeningAsked:
    """One idempotency key under which an account is opened, and every answer. The account is named by it."""

    person: Person
    key: str
    verdicts: list[Verdict] = field(default_factory=list)
    accounts: set[str] = field(default_factory=set)

    @property
    def settled(self) -> Verdict | None:
        return Verdict.COMPLETED if self.accounts else None

    def hear(self, answer: Reply) -> Verdict:
        """Note an answer. An answer that no rule allows fails the test."""
        verdict = _verdict_of(answer)
        self.verdicts.append(verdict)
        if verdict is Verdict.COMPLETED:
            self.accounts.add(answer.body["id"])
            assert len(self.accounts) == 1, f"key {self.key} has several: {self.accounts}"
        return verdict

    def hear_nothing(self) -> Verdict:
        self.verdicts.append(Verdict.NOTHING)
        return Verdict.NOTHING


@dataclass
class Changes:
    """What an operator was told of freezing and unfreezing an account that nobody pays from or to.

    These requests have no key, so that one without an answer may have been done or not, and is not repeated.
    """

    person: Person
    account: str
    frozen: bool = False
    """As of the last answer, or attempt."""
    done: int = 0
    unanswered: int = 0

    @property
    def path(self) -> str:
        return f"/accounts/{self.account}/{'unfreeze' if self.frozen else 'freeze'}"

    def hear(self, answer: Reply) -> Verdict:
        """Note an answer. An answer that no rule allows fails the test."""
        if answer.status == 200:
            assert answer.body["status"] == ("active" if self.frozen else "frozen"), answer
            self.done += 1
            self.frozen = not self.frozen
            return Verdict.COMPLETED
        if answer.status == 409:
            wanted = "account_not_frozen" if self.frozen else "account_already_frozen"
            assert answer.body["code"] == wanted, answer
            # Only what was asked before and not answered can have made it so.
            assert self.unanswered, f"{answer}, and every request so far was answered"
            self.frozen = not self.frozen
            return Verdict.FAILED
        verdict = _verdict_of(answer)
        self.unanswered += verdict is Verdict.NOTHING
        return verdict

    def hear_nothing(self) -> Verdict:
        self.unanswered += 1
        return Verdict.NOTHING


def _verdict_of_row(result: dict[str, Any]) -> Verdict:
    if result["outcome"] == "completed":
        return Verdict.COMPLETED
    problem = result["problem"]
    if result["outcome"] == "unknown" or problem["code"] in {"idempotency_key_in_use", "internal"}:
        return Verdict.NOTHING
    if problem["category"] == "transient":
        return Verdict.NOT_DONE
    assert result["outcome"] == "refused", result
    assert problem["category"] == "rejected", result
    return Verdict.REFUSED


def _verdict_of(answer: Reply) -> Verdict:
    if answer.status == 201:
        return Verdict.COMPLETED
    assert isinstance(answer.body, dict), answer
    if answer.status in {404, 422} and "transaction_id" in answer.body.get("details", {}):
        return Verdict.FAILED
    if answer.body.get("code") == "idempotency_key_in_use":
        # The key's first request is still under way, so this says nothing of the key.
        return Verdict.NOTHING
    if answer.body.get("category") == "transient":
        return Verdict.NOT_DONE
    assert answer.status >= 500, f"no fault excuses this answer: {answer}"
    return Verdict.NOTHING
