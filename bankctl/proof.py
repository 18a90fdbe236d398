"""The proof that the bank's books and its events agree."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bankctl import invocation
from bankctl.client.bank import BankClient
from bankctl.client.long_answers import OnProgress
from bankctl.errors import CliError, ExitStatus
from bankctl.invocation import OutputFormat
from bankctl.render.column import Column
from bankctl.render.output import emit

PROOF_COLUMNS = [Column("name", "Check"), Column("result", "Result"), Column("detail", "Detail")]
_PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold."""

    name: str
    holds: bool
    detail: str

    def document(self) -> dict[str, str]:
        """The check as a row."""
        return {"name": self.name, "result": "ok" if self.holds else "FAILED", "detail": self.detail}


@dataclass(frozen=True, slots=True)
class Proof:
    """All checks, and the daemons' own words behind them."""

    checks: Sequence[Check]
    ledger: Mapping[str, Any]
    events: Mapping[str, Any]

    @property
    def holds(self) -> bool:
        """Whether every check does."""
        return all(check.holds for check in self.checks)

    def show(self, columns: Sequence[Column]) -> None:
        """Print the checks; JSON has the daemons' answers as well."""
        rows = [check.document() for check in self.checks]
        run = invocation.current()
        if run.output in {OutputFormat.JSON, OutputFormat.JSONL} or run.query is not None:
            emit({"holds": self.holds, "checks": rows, "ledger": self.ledger, "events": self.events})
        else:
            emit(rows, columns=columns, title="Proof")

    def require(self) -> None:
        """Go on only if everything holds.

        Raises:
            CliError: something does not.
        """
        failed = [check.name for check in self.checks if not check.holds]
        if failed:
            raise CliError(
                f"the proof does not hold: {', '.join(failed)}",
                exit_status=ExitStatus.UNEXPECTED,
                hint="`bankctl admin prove -o json` shows the figures; late events need a longer --wait",
                code="proof_failed",
            )


def prove_bank(bank: BankClient, *, wait_seconds: float, on_progress: OnProgress) -> Proof:
    """Ask both daemons until their events agree, or the wait is over; the last answer counts."""
    deadline = time.monotonic() + wait_seconds
    while True:
        ledger = bank.transactions.ledger_proof(on_progress=on_progress)
        events = bank.events.proof(on_progress=on_progress)
        proof = Proof(_checks(ledger, events), ledger, events)
        # What is wrong in the books stays wrong; only events on their way get better by waiting.
        if proof.holds or not _books_hold(ledger) or time.monotonic() + _PAUSE_SECONDS > deadline:
            return proof
        time.sleep(_PAUSE_SECONDS)


def _books_hold(ledger: Mapping[str, Any]) -> bool:
    return all(check.holds for check in _book_checks(ledger))


def _book_checks(ledger: Mapping[str, Any]) -> list[Check]:
    sums = [
        Check(
            f"sum of {item['currency']}",
            int(item["sum_minor"]) == 0,
            f"{item['sum_minor']} in minor units over {item['accounts']} accounts, {item['entries']} entries",
        )
        for item in ledger["currencies"]
    ]
    mismatches = ledger["mismatches"]
    first = "; ".join(f"{item.get('id')}: {item.get('problem')}" for item in mismatches[:3])
    return [
        Check(
            "ledger",
            ledger["holds"] is True,
            f"{ledger['journal_transactions']} transactions, {ledger['completed']} completed, "
            f"{ledger['failed']} failed",
        ),
        *sums,
        Check("balances", not mismatches, first or f"{ledger['accounts']} accounts equal their entries"),
    ]


def _checks(ledger: Mapping[str, Any], events: Mapping[str, Any]) -> list[Check]:
    booked, received, notified = ledger["events"], events["transactions"], events["notifications"]
    return [
        *_book_checks(ledger),
        Check(
            "outbox", ledger["outbox_pending"] == 0, f"{ledger['outbox_pending']} events not yet published"
        ),
        _agreement("events received", booked, received),
        _agreement("notifications", booked, notified),
    ]


def _agreement(name: str, booked: Mapping[str, Any], found: Mapping[str, Any]) -> Check:
    same = (booked["count"], booked["digest"]) == (found["count"], found["digest"])
    if same:
        return Check(
            name, holds=True, detail=f"{found['count']} of {booked['count']}, digest {found['digest']}"
        )
    detail = f"{found['count']} of {booked['count']}, digest {found['digest']} instead of {booked['digest']}"
    if (more := found["count"] - booked["count"]) > 0:
        detail += f"; {more} or more are not in the journal, which is an older copy or was restored from one"
    return Check(name, holds=False, detail=detail)
