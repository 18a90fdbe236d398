"""transfer --file --dry-run: what would become of each row now; nothing is paid."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from typing import Any

from bankctl.client.bank import BankClient
from bankctl.payments.orders import Order
from bankctl.payments.results import ResultsFile
from bankctl.payments.row_keys import RowKeys
from bankctl.payments.run import Attempt, Settled, unsettled
from daemons.contracts.vocabulary import CARRIED_LIMIT

WOULD_BE_PAID, PAID_BEFORE, NOT_PAID = "would_be_paid", "paid_before", "would_not_be_paid"
_ZERO = Decimal(0)


@dataclass(slots=True)
class _Movements:
    """What the rows would do to one account; its balance is known only if it is the person's own."""

    name: str | None = None
    out: Decimal = _ZERO
    into: Decimal = _ZERO
    balance_after: str | None = None


@dataclass(slots=True)
class Rehearsal:
    """What would become of a file: a row for each of its rows, and sums."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys((WOULD_BE_PAID, PAID_BEFORE, NOT_PAID), 0)
    )
    _totals: dict[str, Decimal] = field(default_factory=dict)
    _accounts: dict[tuple[str, str], _Movements] = field(default_factory=dict)

    def add(self, row: dict[str, Any]) -> None:
        """Count a row."""
        self.rows.append(row)
        self.counts[row["outcome"]] += 1
        if row["outcome"] != WOULD_BE_PAID:
            return
        amount, currency = Decimal(row["amount"]), row["currency"]
        self._totals[currency] = self._totals.get(currency, _ZERO) + amount
        sender = self._account(row["from"], currency)
        sender.name, sender.out = row["from_name"], sender.out + amount
        sender.balance_after = row["balance_after"]
        receiver = self._account(row["to"], currency)
        receiver.name, receiver.into = row["to_name"], receiver.into + amount
        if receiver.balance_after is not None:
            # One of the person's own, which an earlier row was paid from.
            receiver.balance_after = f"{Decimal(receiver.balance_after) + amount:f}"

    def _account(self, number: str, currency: str) -> _Movements:
        return self._accounts.setdefault((number, currency), _Movements())

    @property
    def totals(self) -> dict[str, str]:
        """What would be paid, by currency."""
        return {currency: f"{total:f}" for currency, total in sorted(self._totals.items())}

    @property
    def accounts(self) -> list[dict[str, Any]]:
        """What would be paid, by account."""
        return [
            {
                "account": number,
                "name": moved.name,
                "currency": currency,
                "out": f"{moved.out:f}" if moved.out else None,
                "in": f"{moved.into:f}" if moved.into else None,
                "balance_after": moved.balance_after,
            }
            for (number, currency), moved in sorted(self._accounts.items())
        ]


class Rehearsing:
    """Asks the bank what it would do with the rows that are still to be paid, slice by slice."""

    def __init__(self, bank: BankClient, results: ResultsFile, *, rows_per_slice: int) -> None:
        self._bank = bank
        self._results = results
        self._rows_per_slice = rows_per_slice
        self._carried: dict[str, str] = {}
        self._rehearsal = Rehearsal()

    def rehearse(self, orders: Iterable[Order], keys: RowKeys) -> Rehearsal:
        """Look at every row; the rows are in the file's order.

        Raises:
            CliError: the bank cannot be reached, or something was paid meanwhile.
        """
        rows = unsettled(orders, keys, self._results, self._paid_before)
        while together := list(islice(rows, self._rows_per_slice)):
            self._look_at(together)
        self._rehearsal.rows.sort(key=lambda row: int(row["line"]))
        return self._rehearsal

    def _paid_before(self, order: Order, record: dict[str, Any]) -> None:
        self._rehearsal.add({**_row(order, PAID_BEFORE), "paid_at": record["settled_at"]})

    def _look_at(self, rows: Sequence[Attempt | Settled]) -> None:
        for row in rows:
            if not isinstance(row, Attempt):
                order, record = row
                self._rehearsal.add({**_row(order, NOT_PAID), "problem": record["problem"]})
        attempts = [row for row in rows if isinstance(row, Attempt)]
        while attempts:
            again: list[Attempt] = []
            for attempt, answer in zip(attempts, self._ask(attempts), strict=True):
                if answer["outcome"] == "failed" and answer["replayed"]:
                    # The bank keeps that attempt; paying would make the next one.
                    again.append(Attempt(attempt.order, attempt.row, attempt.number + 1))
                else:
                    self._rehearsal.add(_previewed(attempt.order, answer))
            attempts = again

    def _ask(self, attempts: Sequence[Attempt]) -> Iterator[Mapping[str, Any]]:
        sent = dict(self._carried)
        if len(sent) > CARRIED_LIMIT:
            sent = _of_accounts(self._carried, attempts)
        answer = self._bank.transactions.preview_batch(
            [attempt.transfer for attempt in attempts], carried=sent
        )
        for account in sent:
            del self._carried[account]
        self._carried.update(answer["carried"])
        yield from sorted(answer["results"], key=lambda row: int(row["index"]))


def _of_accounts(carried: Mapping[str, str], attempts: Sequence[Attempt]) -> dict[str, str]:
    """What earlier rows did to the accounts of these ones; of more the bank does not take."""
    named = {attempt.order.request[side] for attempt in attempts for side in ("from_account", "to_account")}
    return {account: change for account, change in carried.items() if account in named}


def _previewed(order: Order, answer: Mapping[str, Any]) -> dict[str, Any]:
    outcome = NOT_PAID
    if answer["outcome"] == "completed":
        outcome = PAID_BEFORE if answer["replayed"] else WOULD_BE_PAID
    sender, receiver = answer["from"] or {}, answer["to"] or {}
    return {
        **_row(order, outcome),
        "from_name": sender.get("display_name"),
        "to_name": receiver.get("display_name"),
        "balance_after": (sender.get("balance_after") or {}).get("amount"),
        "paid_at": answer["settled_at"],
        "problem": answer["problem"],
    }


def _row(order: Order, outcome: str) -> dict[str, Any]:
    asked = order.request.get
    return {
        "line": order.line,
        "outcome": outcome,
        "from": asked("from_account"),
        "from_name": None,
        "to": asked("to_account"),
        "to_name": None,
        "amount": asked("amount"),
        "currency": asked("currency"),
        "reference": asked("reference"),
        "balance_after": None,
        "paid_at": None,
        "problem": None,
        "extra": order.extra,
    }
