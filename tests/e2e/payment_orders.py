"""Real payment orders: what is in the file, and who owes whom how much, to the haler."""

import csv
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

VARIABLE = "BANKCTL_PAYMENT_ORDERS"
_BESIDE_THE_REPOSITORY = Path(__file__).parents[3] / "shared" / "data" / "payment-orders.csv"


@dataclass(frozen=True)
class PaymentOrder:
    """One row of the file; payer and payee are names that the file uses, not accounts of this bank."""

    order_id: str
    payer: str
    payee: str
    amount: Decimal
    currency: str
    reference: str | None


def orders_file() -> Path:
    """Where the file is: as the environment says, else beside the repository."""
    return Path(os.environ.get(VARIABLE) or _BESIDE_THE_REPOSITORY)


def read_payment_orders(path: Path) -> list[PaymentOrder]:
    with path.open(encoding="utf-8", newline="") as file:
        return [
            PaymentOrder(
                row["order_id"],
                row["payer"],
                row["payee"],
                Decimal(row["amount"]),
                row["currency"],
                row["reference"] or None,
            )
            for row in csv.DictReader(file)
        ]


def owed_by_payer(orders: list[PaymentOrder]) -> dict[str, Decimal]:
    return _sums((order.payer, order.amount) for order in orders)


def due_to_payee(orders: list[PaymentOrder]) -> dict[str, Decimal]:
    return _sums((order.payee, order.amount) for order in orders)


def write_transfer_file(path: Path, orders: list[PaymentOrder], accounts: Mapping[str, str]) -> None:
    """Write the orders in the form that `bankctl transfer --file` takes, with the accounts of this bank."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["order_id", "from", "to", "amount", "currency", "reference"])
        for order in orders:
            parties = (accounts[order.payer], accounts[order.payee])
            writer.writerow([order.order_id, *parties, order.amount, order.currency, order.reference or ""])


def _sums(pairs: Iterable[tuple[str, Decimal]]) -> dict[str, Decimal]:
    sums: defaultdict[str, Decimal] = defaultdict(Decimal)
    for name, amount in pairs:
        sums[name] += amount
    return dict(sums)
