"""Corrections of an account's balance by the bank, against its own account (docs/adr/0016)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from daemons.banking_api.domain.account import account_not_found, check_not_own
from daemons.banking_api.domain.decision import decide_group, find_failure
from daemons.banking_api.domain.journal import (
    BookingAct,
    PostingCommand,
    TransactionKind,
    adjustment_account,
    refusal,
)
from daemons.banking_api.domain.money import Money, format_minor, parse_money
from daemons.banking_api.services.statements import transaction_not_found
from daemons.banking_api.services.transfers import Settled, booked
from daemons.banking_api.storage.mongo_accounts import MongoAccounts
from daemons.banking_api.storage.mongo_journal import MongoJournal
from daemons.banking_api.storage.mongo_ledger import MongoLedger
from daemons.contracts.errors import RejectedError
from daemons.shared.approvals.approval import Approval
from daemons.shared.audit.record import Actor


class Direction(StrEnum):
    """Whether the account gets money or gives it."""

    CREDIT = "credit"
    DEBIT = "debit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustment:
    """What is to be set right. The account's owner reads the reason on the statement."""

    account_id: str
    direction: Direction
    money: Money
    reason: str
    corrects: UUID | None

    def parameters(self) -> dict[str, Any]:
        """All that carrying it out needs besides the account, as JSON."""
        return {
            "direction": self.direction.value,
            "amount": format_minor(self.money.minor, self.money.currency),
            "currency": self.money.currency,
            "reason": self.reason,
            "corrects": None if self.corrects is None else str(self.corrects),
        }

    @classmethod
    def from_parameters(cls, account_id: str, parameters: Mapping[str, Any]) -> "Adjustment":
        """Return what such parameters ask for."""
        corrects = parameters["corrects"]
        return cls(
            account_id=account_id,
            direction=Direction(parameters["direction"]),
            money=parse_money(parameters["amount"], parameters["currency"]),
            reason=parameters["reason"],
            corrects=None if corrects is None else UUID(corrects),
        )


class Adjustments:
    """Checks adjustments, and posts those that a second person has approved; nobody adjusts alone."""

    def __init__(
        self,
        ledger: MongoLedger,
        accounts: MongoAccounts,
        journal: MongoJournal,
        *,
        clock: Callable[[], datetime],
        new_id: Callable[[], UUID],
    ) -> None:
        self._ledger = ledger
        self._accounts = accounts
        self._journal = journal
        self._clock = clock
        self._new_id = new_id

    async def check(self, adjustment: Adjustment, *, initiator: UUID, idempotency_key: str) -> None:
        """Go on only if the adjustment could be booked now, under a key that stands for nothing else.

        Raises:
            NotFoundError: there is no such account, or no such transaction to correct.
            ForbiddenError: `own_account`.
            RejectedError: a rule refuses, what is corrected moved nothing on this account, or the key was
                used for another request.
        """
        await self._ledger.check_key_is_new(initiator, idempotency_key)
        await self._check_not_own(adjustment.account_id, initiator)
        if adjustment.corrects is not None:
            await self._check_corrected(adjustment.corrects, adjustment.account_id)
        await self._accounts.ensure_adjustment_account(adjustment.money.currency)
        command = _command(adjustment, initiator=initiator, idempotency_key=idempotency_key, act=None)
        accounts = await self._ledger.read_accounts([command])
        failure = find_failure(command, accounts.get(command.from_account), accounts.get(command.to_account))
        if failure is not None:
            raise refusal(failure, None)

    async def adjust_approved(self, actor: Actor, approval: Approval) -> Settled:
        """Book what another person has requested, which the actor approves by it.

        It is a group of its own: a request that is decided at the same moment refuses this command only.

        Raises:
            ForbiddenError: `own_account`, the actor's.
            ConflictError: the request was decided meanwhile; nothing was booked.
            RejectedError: a rule refuses; the attempt is kept and the request decided.
        """
        if approval.idempotency_key is None:
            raise ValueError("a request to adjust has an idempotency key")
        adjustment = Adjustment.from_parameters(approval.target_id, approval.parameters)
        await self._check_not_own(adjustment.account_id, actor.user_id)
        await self._accounts.ensure_adjustment_account(adjustment.money.currency)
        command = _command(
            adjustment,
            initiator=approval.requester_id,
            idempotency_key=approval.idempotency_key,
            act=BookingAct(actor=actor, approval=approval),
        )
        [outcome] = await self._ledger.post(
            lambda: [command],
            lambda commands, accounts, stored: decide_group(
                commands, accounts=accounts, stored=stored, new_id=self._new_id, now=self._clock()
            ),
        )
        return booked(command, outcome)

    async def settled(self, transaction_id: UUID) -> Settled:
        """Return an adjustment that was booked before.

        Raises:
            RejectedError: a rule refused it then.
        """
        transaction = await self._journal.find(transaction_id, visible_to=None)
        if transaction is None:
            raise transaction_not_found()
        if transaction.failure is not None:
            raise refusal(transaction.failure, transaction.id, replayed=True)
        return Settled(transaction, replayed=True)

    async def _check_not_own(self, account_id: str, user_id: UUID | None) -> None:
        account = await self._accounts.find(account_id, owner=None)
        if account is None:
            raise account_not_found(account_id)
        check_not_own(account, user_id)

    async def _check_corrected(self, transaction_id: UUID, account_id: str) -> None:
        corrected = await self._journal.find(transaction_id, visible_to=None)
        if corrected is None:
            raise transaction_not_found()
        if corrected.entry_of(account_id) is None:
            raise RejectedError(
                "nothing_to_correct", f"Transaction {transaction_id} moved nothing on account {account_id}."
            )


def _command(
    adjustment: Adjustment, *, initiator: UUID, idempotency_key: str, act: BookingAct | None
) -> PostingCommand:
    own = adjustment_account(adjustment.money.currency)
    debit = adjustment.direction is Direction.DEBIT
    return PostingCommand(
        kind=TransactionKind.ADJUSTMENT,
        initiator=initiator,
        sender_owner=None,
        idempotency_key=idempotency_key,
        from_account=adjustment.account_id if debit else own,
        to_account=own if debit else adjustment.account_id,
        amount_minor=adjustment.money.minor,
        currency=adjustment.money.currency,
        reference=adjustment.reason,
        act=act,
        corrects=adjustment.corrects,
    )
