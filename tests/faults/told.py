"""What callers were told of each of their keys."""

from dataclasses import dataclass, field
from enum import StrEnum

from tests.faults.bank_processes import Person, Reply


class Verdict(StrEnum):
    """What one answer says. `NOTHING`: time-outs, cuts, 5xx without a promise; anything may have happened."""

    COMPLETED = "completed"
    FAILED = "failed"
    NOT_DONE = "not_done"  # category transient or conflict: the bank says that it did nothing
    NOTHING = "nothing"


@dataclass
class Operation:
    """One idempotency key, what was asked under it, and every answer."""

    person: Person
    key: str
    sender: str | None
    receiver: str
    minor: int
    verdicts: list[Verdict] = field(default_factory=list)
    transaction_ids: set[str] = field(default_factory=set)

    @property
    def path(self) -> str:
        return "/transactions/transfer" if self.sender else f"/accounts/{self.receiver}/fund"

    @property
    def body(self) -> dict[str, str]:
        # The reference carries the key into every list that shows the transaction.
        body = {
            "amount": f"{self.minor // 100}.{self.minor % 100:02d}",
            "currency": "EUR",
            "reference": self.key,
        }
        if self.sender:
            body |= {"from_account": self.sender, "to_account": self.receiver}
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
