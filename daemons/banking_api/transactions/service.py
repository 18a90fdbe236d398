"""Moving money: by the order of an account's owner, and by staff, whom policy may ask for a second person.

What is particular to a kind is in its file (`kinds/`); nothing here asks which kind it is, but for previews
and batches, which are transfers.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from daemons.banking_api.acts import log_outcome
from daemons.banking_api.kinds.adjustment import Adjustment
from daemons.banking_api.kinds.budget import Budget
from daemons.banking_api.kinds.change import account_not_found, own_account
from daemons.banking_api.kinds.confirmation import Confirmation
from daemons.banking_api.kinds.kind import TARGET, MoneyKind
from daemons.banking_api.kinds.staff import CountedKind, StaffKind
from daemons.banking_api.kinds.table import STAFF_KINDS
from daemons.banking_api.kinds.transfer import Transfer
from daemons.banking_api.ledger.ledger import BatchTurn, Ledger, LedgerMovedError, no_ledger
from daemons.banking_api.ledger.readers import AccountReader, RecordReader
from daemons.banking_api.ledger.record import (
    Act,
    Command,
    Failure,
    Outcome,
    Record,
    key_reused,
    refusal,
)
from daemons.banking_api.money import Money, whole_minor
from daemons.banking_api.transactions.preview import (
    Preview,
    SlicePreview,
    preview_command,
    preview_slice,
)
from daemons.banking_api.transactions.statements import transaction_not_found
from daemons.contracts.errors import BankError, ConflictError, RejectedError
from daemons.shared.approvals.approval import Approval
from daemons.shared.approvals.approvals import Approvals
from daemons.shared.approvals.policy import StaffPolicy
from daemons.shared.audit.record import Actor
from daemons.shared.auth.callers import Caller
from daemons.shared.clock import utc_now

Begun = asyncio.Future[Outcome] | BankError
"""A transfer that waits for its commit, or why it does not."""


class TransferOrder(NamedTuple):
    """What a user asks for."""

    from_account: str
    to_account: str
    money: Money
    reference: str | None


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
        policy: StaffPolicy,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._ledger = ledger
        self._accounts = accounts
        self._records = records
        self._approvals = approvals
        self._policy = policy
        self._clock = clock
        approvals.carry_out_by(dict.fromkeys(STAFF_KINDS, self._carry_out))

    async def order(self, command: MoneyKind) -> Settled:
        """Carry out what the owner of an account orders.

        Raises:
            RejectedError: a rule refuses; the attempt is kept and its id is in the details.
            NotFoundError: the sender's account is not the caller's; kept as well.
            TransientError, OutcomeUnknownError, ConflictError: see `Pipeline.submit`.
        """
        return settled_or_refused(await self._ledger.submit(command))

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

    async def book(self, actor: Actor, command: StaffKind) -> Settled | Approval:
        """Book what staff order, or return the request that waits for a second person.

        What one person may book alone is counted with the booking itself. The same key again returns the same
        request, and once that was approved its transaction.

        Raises:
            NotFoundError: there is no such account.
            ForbiddenError: `own_account`.
            RejectedError: a rule refuses, or the key was used for another request.
        """
        await self._check_not_own(command, actor)
        key = command.idempotency_key
        # A key that stands for a request stands for nothing else, whether or not this takes a second person.
        if await self._approvals.find_by_key(command.initiator, key) is None:
            if not command.always_by_two and not self._policy.needs_approval(command.guard):
                return await self._book(command)
            if isinstance(command, CountedKind):
                try:
                    return await self._book(self._counted(command))
                except BankError as error:
                    if error.code != "beyond_alone_limit":
                        raise
            await self._check_possible(command)
        request = await self._approvals.request(
            actor,
            command.guard,
            target=(TARGET, command.customers()[0]),
            reason=command.stated(),
            parameters=command.parameters(),
            idempotency_key=key,
        )
        outcome = None if request.decision is None else request.decision.outcome
        if outcome is None:
            return request
        record = await self._records.find(UUID(outcome["transaction_id"]), visible_to=None)
        if record is None:
            raise transaction_not_found()
        return settled_or_refused(Outcome(record, replayed=True))

    async def adjust(self, actor: Actor, command: Adjustment) -> Settled | Approval:
        """Book a correction; see `book`.

        Raises:
            NotFoundError: there is no such transaction to correct, either.
        """
        if command.corrects is not None:
            corrected = await self._records.find(command.corrects, visible_to=None)
            if corrected is None:
                raise transaction_not_found()
            if corrected.entry_of(command.account_id) is None:
                raise RejectedError(
                    "nothing_to_correct",
                    f"Transaction {command.corrects} moved nothing on account {command.account_id}.",
                )
        return await self.book(actor, command)

    def _counted(self, command: CountedKind) -> CountedKind:
        limit = self._policy.alone_limit(command.guard, command.currency)
        if limit is None:
            return command
        return command.within(whole_minor(limit, command.currency), self._today())

    def _today(self) -> str:
        return self._clock().astimezone(UTC).date().isoformat()

    async def _carry_out(self, approval: Approval, by: Actor) -> None:
        command = STAFF_KINDS[approval.act].requested(approval, Act(actor=by, approval=approval))
        most = self._policy.most(command.guard, command.currency)
        if most is not None:
            # Of the day on which it is booked, for whom it is booked.
            minor = whole_minor(most, command.currency)
            command = replace(command, id=command.id, most_minor=minor, day=self._today())
        await self._check_not_own(command, by)
        settled = await self._book(command)
        if settled.replayed:
            raise ConflictError(
                "approval_decided",
                "This was booked already under the same idempotency key; nothing was done.",
            )

    async def _check_possible(self, command: StaffKind) -> None:
        """Go on only if it could be booked now, under a key that stands for nothing else."""
        accounts, stored = await self._records.states_for([command])
        if stored:
            raise key_reused()
        ruling = command.decide(accounts)
        if isinstance(ruling, Failure):
            raise refusal(ruling, None)

    async def _check_not_own(self, command: StaffKind, actor: Actor) -> None:
        for account_id in command.customers():
            account = await self._accounts.find(account_id, owner=None)
            if account is None:
                raise account_not_found(account_id)
            if (own := own_account(account, actor.user_id)) is not None:
                raise own

    async def _book(self, command: Command) -> Settled:
        outcome = await self._ledger.submit(command)
        log_outcome(command, outcome)
        return settled_or_refused(outcome)


def budget_of(caller: Caller) -> Budget | None:
    """Return what bounds the payments of the API key that a caller uses, as of today (UTC)."""
    given = caller.budget
    if given is None:
        return None
    currency = given.currency

    def minor(amount: str | None) -> int | None:
        return None if amount is None or currency is None else whole_minor(Decimal(amount), currency)

    return Budget(
        key=str(caller.session_id),
        day=utc_now().date().isoformat(),
        currency=currency,
        payment_minor=minor(given.max_payment),
        day_minor=minor(given.max_day),
        payees=None if given.payees is None else tuple(given.payees),
    )


def transfer_command(
    caller: Caller, order: TransferOrder, idempotency_key: str, confirmation: Confirmation | None = None
) -> Transfer:
    """Return what the ledger is asked for when a caller orders a transfer."""
    return Transfer(
        initiator=caller.user_id,
        idempotency_key=idempotency_key,
        from_account=order.from_account,
        to_account=order.to_account,
        amount_minor=order.money.minor,
        currency=order.money.currency,
        reference=order.reference,
        confirmation=confirmation,
        budget=None if caller.budget is None else budget_of(caller),
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
