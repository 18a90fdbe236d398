"""Payments between the accounts of a ledger: as commands, and as the records they end in."""

import random
from collections.abc import Sequence
from uuid import UUID

from daemons.banking_api.kinds.transfer import Transfer
from daemons.banking_api.ledger.account import Account, Terms
from daemons.banking_api.ledger.decide import decide_group
from daemons.banking_api.ledger.record import Record
from daemons.contracts.names import AccountStatus, AccountType
from daemons.shared.clock import utc_now
from daemons.shared.ids import new_id

CURRENCY = "EUR"
LARGEST_AMOUNT_MINOR = 500


class Payments:
    """Makes small payments, each with a key of its own; every account's owner pays from it."""

    def __init__(self, owner_of: dict[str, UUID], *, seed: int = 1) -> None:
        self._owner_of = owner_of
        self.accounts = list(owner_of)
        self._random = random.Random(seed)  # noqa: S311 - a repeatable choice of accounts guards nothing
        self._number = 0
        self._prefix = str(new_id())

    def between_any(self, count: int) -> list[Transfer]:
        """Between random pairs."""
        return [self._payment(*self._random.sample(self.accounts, 2)) for _ in range(count)]

    def to_one(self, count: int) -> list[Transfer]:
        """All to the first account, from random others."""
        receiver, others = self.accounts[0], self.accounts[1:]
        return [self._payment(self._random.choice(others), receiver) for _ in range(count)]

    def to_some(self, count: int, *, receivers: int) -> list[Transfer]:
        """Half of them to the first few accounts, whose histories grow long; the rest to any other."""
        busy = self.accounts[:receivers]
        quiet = self.accounts[receivers:]
        made = []
        for index in range(count):
            receiver = self._random.choice(busy if index % 2 else quiet)
            sender = self._random.choice(quiet)
            while sender == receiver:
                sender = self._random.choice(quiet)
            made.append(self._payment(sender, receiver))
        return made

    def _payment(self, sender: str, receiver: str) -> Transfer:
        self._number += 1
        return Transfer(
            initiator=self._owner_of[sender],
            idempotency_key=f"{self._prefix}-{self._number}",
            from_account=sender,
            to_account=receiver,
            amount_minor=self._random.randint(1, LARGEST_AMOUNT_MINOR),
            currency=CURRENCY,
            reference="bench",
        )


class Books:
    """Accounts in memory, for records that no ledger writes: the product's rules decide them all the same."""

    def __init__(self, owner_of: dict[str, UUID], *, balance_minor: int, sequence: int) -> None:
        self.accounts = {
            account: Account(
                account,
                Terms(owner, AccountType.CHECKING, AccountStatus.ACTIVE, CURRENCY),
                balance_minor,
                sequence,
            )
            for account, owner in owner_of.items()
        }

    def records(self, commands: Sequence[Transfer]) -> list[Record]:
        """Return the records that the ledger would write for the commands."""
        decided = decide_group(commands, accounts=self.accounts, stored={}, now=utc_now())
        if any(record.failure for record in decided.records):
            raise AssertionError("a payment of the benchmark was refused")
        return decided.records
