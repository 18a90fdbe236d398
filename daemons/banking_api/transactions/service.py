"""Moving money: transfers by the owner of the sender's account, funding and adjusting by operators.

Funding beyond a limit, and every adjustment, waits for a second person (docs/adr/0010).
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from daemons.banking_api.acts import log_outcome
from daemons.banking_api.kinds.adjustment import Adjustment, Direction
from daemons.banking_api.kinds.change import account_not_found, own_account
from daemons.banking_api.kinds.funding import Funding
from daemons.banking_api.kinds.transfer import Transfer
from daemons.banking_api.ledger.ledger import BatchTurn, Ledger, LedgerMovedError, no_ledger
from daemons.banking_api.ledger.readers import AccountReader, RecordReader
from daemons.banking_api.ledger.record import (
    Act,
    Command,
    Failure,
    Outcome,
    Record,
    idempotency_id,
    key_reused,
    refusal,
)
from daemons.banking_api.money import Money, format_minor, parse_money, whole_minor
from daemons.banking_api.transactions.preview import (
    Preview,
    SlicePreview,
    preview_command,
    preview_slice,
)
from daemons.banking_api.transactions.statements import transaction_not_found
from daemons.contracts.errors import BankError, ConflictError, RejectedError
from daemons.shared.approvals.approval import Approval, ApprovalStatus
from daemons.shared.approvals.approvals import Approvals
from daemons.shared.approvals.policy import FourEyesSettings, GuardedAct
from daemons.shared.audit.record import Actor
from daemons.shared.auth.callers import Caller

_TARGET = "account"
Begun = asyncio.Future[Outcome] | BankError
"""A transfer that waits for its commit, or why it does not."""


class TransferOrder(NamedTuple):
    """What a user asks for."""

    from_account: str
    to_account: str
    money: Money
    reference: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdjustmentOrder:
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
    def from_parameters(cls, account_id: str, parameters: Mapping[str, Any]) -> "AdjustmentOrder":
        """Return what such parameters ask for."""
        corrects = parameters["corrects"]
        return cls(
            account_id=account_id,
            direction=Direction(parameters["direction"]),
            money=parse_money(parameters["amount"], parameters["currency"]),
            reason=parameters["reason"],
            corrects=None if corrects is None else UUID(corrects),
        )


@dataclass(frozen=True, slots=True)
class Settled:
    """A completed record; `replayed` when it had been stored before under the same key."""

    record: Record
    replayed: bool


class Transactions:
    """Moves money through the ledger."""

    def __init__(
        self,
        ledger: Ledger,
        accounts: AccountReader,
        records: RecordReader,
        approvals: Approvals,
        policy: FourEyesSettings,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._ledger = ledger
        self._accounts = accounts
        self._records = records
        self._approvals = approvals
        self._policy = policy
        self._clock = clock
        approvals.carry_out_by(
            {GuardedAct.FUND: self._fund_approved, GuardedAct.ADJUST: self._adjust_approved}
        )

    async def transfer(self, caller: Caller, order: TransferOrder, *, idempotency_key: str) -> Settled:
        """Move money from an account of the caller's.

        Raises:
            RejectedError: a rule refuses; the attempt is kept and its id is in the details.
            NotFoundError: the sender's account is not the caller's; kept as well.
            TransientError, OutcomeUnknownError, ConflictError: see `Pipeline.submit`.
        """
        return settled_or_refused(await self._ledger.submit(transfer_command(caller, order, idempotency_key)))

    def turn(self, caller: Caller, *, last_key: str, after: str | None) -> AbstractContextManager[BatchTurn]:
        """Give a batch of the caller's its turn; see `Ledger.turn`."""
        return self._ledger.turn(caller.user_id, last_key=last_key, after=after)

    def begin(self, command: Command, turn: BatchTurn) -> Begun:
        """Let a transfer wait for its commit, and go on; `end` tells what became of it.

        Those that are begun one after another are decided in that order.
        """
        try:
            return self._ledger.enqueue(command, turn)
        except BankError as error:
            turn.note(error)
            return error

    def begin_atomic(self, commands: Sequence[Command], turn: BatchTurn) -> list[Begun]:
        """Let transfers wait for a commit that does all of them or none; see `begin`."""
        try:
            return list(self._ledger.enqueue_atomic(commands, turn))
        except BankError as error:
            turn.note(error)
            return [error] * len(commands)

    async def end(self, begun: Iterable[Begun | None]) -> list[Outcome | BankError | None]:
        """Wait for transfers that were begun; refusals are returned, and None for what never was."""
        settled: list[Outcome | BankError | None] = []
        for waiting in begun:
            if waiting is None or isinstance(waiting, BankError):
                settled.append(waiting)
                continue
            try:
                outcome = await waiting
            except BankError as error:
                settled.append(error)
            except LedgerMovedError:
                settled.append(no_ledger())
            else:
                settled.append(key_reused() if outcome.key_reused else outcome)
        return settled

    async def preview(self, caller: Caller, order: TransferOrder) -> Preview:
        """Tell what a transfer would do now.

        Raises:
            NotFoundError: the sender's account is not the caller's.
        """
        command = transfer_command(caller, order, "preview")
        accounts, _ = await self._records.states_for([command])
        return preview_command(command, accounts)

    async def preview_slice(
        self, caller: Caller, commands: Sequence[Transfer], carried: Mapping[str, str]
    ) -> SlicePreview:
        """Tell what transfers would do now, one after another, behind what is carried; nothing is written.

        Raises:
            InvalidRequestError, ConflictError: see `transactions.preview`.
        """
        accounts, stored = await self._records.states_for(commands, also=carried)
        return preview_slice(
            commands,
            owner=caller.user_id,
            accounts=accounts,
            stored=stored,
            carried=carried,
            now=self._clock(),
        )

    async def fund(
        self, actor: Actor, account_id: str, money: Money, *, reference: str | None, idempotency_key: str
    ) -> Settled | Approval:
        """Book money that has come in from outside the bank, or return the request for a second person.

        What one person may fund alone is counted with the booking itself. The same key again returns the same
        request, and once that was approved its transaction.

        Raises:
            NotFoundError: there is no such account.
            ForbiddenError: `own_account`.
            RejectedError: a rule refuses, or the key was used for another request.
        """
        limit = self._policy.fund_limit(money.currency)
        command = Funding(
            initiator=_person(actor),
            idempotency_key=idempotency_key,
            act=Act(actor=actor),
            to_account=account_id,
            amount_minor=money.minor,
            currency=money.currency,
            reference=reference,
            alone_limit_minor=None if limit is None else whole_minor(limit, money.currency),
            day=self._clock().astimezone(UTC).date().isoformat(),
        )
        await self._check_not_own(account_id, actor)
        if limit is None or not await self._is_requested(actor, idempotency_key):
            try:
                return await self._book(command)
            except BankError as error:
                if error.code != "beyond_alone_limit":
                    raise
        request = await self._request_funding(actor, account_id, money, reference, idempotency_key)
        if request.stored_status is not ApprovalStatus.APPROVED:
            return request
        # It was booked with the approval and is told again under its key.
        return await self._book(command)

    async def adjust(
        self, actor: Actor, order: AdjustmentOrder, *, idempotency_key: str
    ) -> Settled | Approval:
        """Return the request to adjust, which always waits for a second person; once approved, the result.

        Raises:
            NotFoundError: there is no such account, or no such transaction to correct.
            RejectedError: a rule refuses, or the key was used for another request.
        """
        if not await self._is_requested(actor, idempotency_key):
            await self._check_adjustable(actor, order, idempotency_key)
        request = await self._approvals.request(
            actor,
            GuardedAct.ADJUST,
            target=(_TARGET, order.account_id),
            reason=order.reason,
            parameters=order.parameters(),
            idempotency_key=idempotency_key,
        )
        outcome = None if request.decision is None else request.decision.outcome
        if outcome is None:
            return request
        record = await self._records.find(UUID(outcome["transaction_id"]), visible_to=None)
        if record is None:
            raise transaction_not_found()
        return settled_or_refused(Outcome(record, replayed=True))

    async def _request_funding(
        self, actor: Actor, account_id: str, money: Money, reference: str | None, key: str
    ) -> Approval:
        if not await self._is_requested(actor, key):
            await self._check_key_is_new(actor, key)
        return await self._approvals.request(
            actor,
            GuardedAct.FUND,
            target=(_TARGET, account_id),
            reason=reference,
            parameters={
                "amount": format_minor(money.minor, money.currency),
                "currency": money.currency,
                "reference": reference,
            },
            idempotency_key=key,
        )

    async def _fund_approved(self, approval: Approval, by: Actor) -> None:
        money = parse_money(approval.parameters["amount"], approval.parameters["currency"])
        await self._check_not_own(approval.target_id, by)
        command = Funding(
            initiator=approval.requester_id,
            idempotency_key=_key_of(approval),
            act=Act(actor=by, approval=approval),
            to_account=approval.target_id,
            amount_minor=money.minor,
            currency=money.currency,
            reference=approval.parameters["reference"],
        )
        _refuse_replayed(await self._book(command))

    async def _adjust_approved(self, approval: Approval, by: Actor) -> None:
        order = AdjustmentOrder.from_parameters(approval.target_id, approval.parameters)
        await self._check_not_own(order.account_id, by)
        act = Act(actor=by, approval=approval)
        command = _adjustment(order, approval.requester_id, _key_of(approval), act)
        _refuse_replayed(await self._book(command))

    async def _check_adjustable(self, actor: Actor, order: AdjustmentOrder, idempotency_key: str) -> None:
        """Go on only if the adjustment could be booked now, under a key that stands for nothing else."""
        await self._check_key_is_new(actor, idempotency_key)
        await self._check_not_own(order.account_id, actor)
        if order.corrects is not None:
            await self._check_corrected(order.corrects, order.account_id)
        command = _adjustment(order, _person(actor), idempotency_key, None)
        accounts, _ = await self._records.states_for([command])
        ruling = command.decide(accounts)
        if isinstance(ruling, Failure):
            raise refusal(ruling, None)

    async def _check_corrected(self, transaction_id: UUID, account_id: str) -> None:
        corrected = await self._records.find(transaction_id, visible_to=None)
        if corrected is None:
            raise transaction_not_found()
        if corrected.entry_of(account_id) is None:
            raise RejectedError(
                "nothing_to_correct", f"Transaction {transaction_id} moved nothing on account {account_id}."
            )

    async def _check_not_own(self, account_id: str, actor: Actor) -> None:
        account = await self._accounts.find(account_id, owner=None)
        if account is None:
            raise account_not_found(account_id)
        if (own := own_account(account, actor.user_id)) is not None:
            raise own

    async def _check_key_is_new(self, actor: Actor, idempotency_key: str) -> None:
        if await self._records.has_key(idempotency_id(_person(actor), idempotency_key)):
            raise key_reused()

    async def _is_requested(self, actor: Actor, idempotency_key: str) -> bool:
        return await self._approvals.find_by_key(_person(actor), idempotency_key) is not None

    async def _book(self, command: Command) -> Settled:
        outcome = await self._ledger.submit(command)
        log_outcome(command, outcome)
        return settled_or_refused(outcome)


def transfer_command(caller: Caller, order: TransferOrder, idempotency_key: str) -> Transfer:
    """Return what the ledger is asked for when a caller orders a transfer."""
    return Transfer(
        initiator=caller.user_id,
        idempotency_key=idempotency_key,
        from_account=order.from_account,
        to_account=order.to_account,
        amount_minor=order.money.minor,
        currency=order.money.currency,
        reference=order.reference,
    )


def settled_or_refused(outcome: Outcome) -> Settled:
    """Return what was stored.

    Raises:
        RejectedError, NotFoundError: a rule refused it, or the key was used for another request.
    """
    if outcome.key_reused:
        raise key_reused()
    failure = outcome.record.failure
    if failure is not None:
        raise refusal(failure, outcome.record.id, replayed=outcome.replayed)
    return Settled(outcome.record, outcome.replayed)


def _adjustment(order: AdjustmentOrder, initiator: UUID, key: str, act: Act | None) -> Adjustment:
    return Adjustment(
        initiator=initiator,
        idempotency_key=key,
        act=act,
        account_id=order.account_id,
        direction=order.direction,
        amount_minor=order.money.minor,
        currency=order.money.currency,
        reason=order.reason,
        corrects=order.corrects,
    )


def _person(actor: Actor) -> UUID:
    if actor.user_id is None:
        raise ValueError("money is booked by somebody's hand only")
    return actor.user_id


def _key_of(approval: Approval) -> str:
    if approval.idempotency_key is None:
        raise ValueError("a request to move money has an idempotency key")
    return approval.idempotency_key


def _refuse_replayed(settled: Settled) -> None:
    if settled.replayed:
        raise ConflictError(
            "approval_decided",
            "This was booked already under the same idempotency key; nothing was done.",
        )
