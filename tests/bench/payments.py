"""Payments between the accounts of a ledger: as commands, and as the journal documents they end in."""

import random
from collections.abc import Sequence
from uuid import UUID

from daemons.banking_api.domain.account import AccountStatus
from daemons.banking_api.domain.decision import LedgerAccount, decide_group
from daemons.banking_api.domain.journal import PostingCommand, TransactionKind
from daemons.banking_api.storage.journal_documents import to_document

from daemons.shared.clock import utc_now
from daemons.shared.ids import new_id
from daemons.shared.mongo import Document

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

    def between_any(self, count: int) -> list[PostingCommand]:
        """Between random pairs."""
        return [self._payment(*self._random.sample(self.accounts, 2)) for _ in range(count)]

    def to_one(self, count: int) -> list[PostingCommand]:
        """All to the first account, from random others."""
        receiver, others = self.accounts[0], self.accounts[1:]
        return [self._payment(self._random.choice(others), receiver) for _ in range(count)]

    def to_some(self, count: int, *, receivers: int) -> list[PostingCommand]:
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

    def _payment(self, sender: str, receiver: str) -> PostingCommand:
        self._number += 1
        owner = self._owner_of[sender]
        return PostingCommand(
            kind=TransactionKind.TRANSFER,
            initiator=owner,
            sender_owner=owner,
            idempotency_key=f"{self._prefix}-{self._number}",
            from_account=sender,
            to_account=receiver,
            amount_minor=self._random.randint(1, LARGEST_AMOUNT_MINOR),
            currency=CURRENCY,
            reference="bench",
        )


class Books:
    """Accounts in memory, for documents that no engine writes: the domain decides them all the same."""

    def __init__(self, owner_of: dict[str, UUID], *, balance_minor: int, sequence: int) -> None:
        self.accounts = {
            account: LedgerAccount(
                id=account,
                owner=owner,
                status=AccountStatus.ACTIVE,
                currency=CURRENCY,
                balance_minor=balance_minor,
                sequence=sequence,
                may_overdraw=False,
            )
            for account, owner in owner_of.items()
        }

    def documents(self, commands: Sequence[PostingCommand]) -> list[Document]:
        """Return the journal documents that an engine would write for the commands."""
        decided = decide_group(commands, accounts=self.accounts, stored={}, new_id=new_id, now=utc_now())
        if any(transaction.failure for transaction in decided.transactions):
            raise AssertionError("a payment of the benchmark was refused")
        return [to_document(transaction) for transaction in decided.transactions]
