"""Moving money: transfers by the owner of the sender's account, funding by operators."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from daemons.banking_api.domain.account import account_not_found, check_not_own
from daemons.banking_api.domain.decision import Outcome
from daemons.banking_api.domain.journal import (
    BookingAct,
    JournalTransaction,
    PostingCommand,
    TransactionKind,
    key_reused,
    refusal,
    settlement_account,
)
from daemons.banking_api.domain.money import Money
from daemons.banking_api.domain.preview import Preview, SlicePreview, preview_command, preview_slice
from daemons.banking_api.services.commit_engine import CommitEngine
from daemons.banking_api.services.succession import Batch
from daemons.banking_api.services.witness import booking_entry
from daemons.banking_api.storage.mongo_accounts import MongoAccounts
from daemons.banking_api.storage.mongo_ledger import MongoLedger
from daemons.contracts.errors import BankError
from daemons.shared.approvals.approval import Approval
from daemons.shared.audit.record import Actor
from daemons.shared.audit.trail import log_act
from daemons.shared.auth.callers import Caller


class TransferOrder(NamedTuple):
    """What a user asks for."""

    from_account: str
    to_account: str
    money: Money
    reference: str | None


Begun = asyncio.Future[Outcome] | BankError
"""A transfer that waits for its commit, or why it does not."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A posted transaction; `replayed` when it had been posted before under the same key."""

    transaction: JournalTransaction
    replayed: bool


class Transfers:
    """Posts transactions through the commit engine."""

    def __init__(
        self,
        engine: CommitEngine,
        ledger: MongoLedger,
        accounts: MongoAccounts,
        *,
        clock: Callable[[], datetime],
        new_id: Callable[[], UUID],
    ) -> None:
        self._engine = engine
        self._ledger = ledger
        self._accounts = accounts
        self._clock = clock
        self._new_id = new_id
        self._settlement_currencies: set[str] = set()

    async def transfer_funds(self, caller: Caller, order: TransferOrder, *, idempotency_key: str) -> Settled:
        """Move money from an account of the caller's.

        Raises:
            RejectedError: a rule refuses; the attempt is kept and its id is in the details.
            NotFoundError: the sender's account is not the caller's; kept as well.
            TransientError, OutcomeUnknownError, ConflictError: see `CommitEngine.post`.
        """
        outcome = await self._engine.post(transfer_command(caller, order, idempotency_key))
        return settled_or_refused(outcome)

    def begin(self, command: PostingCommand, batch: Batch) -> Begun:
        """Let a transfer wait for its commit, and go on; `end` tells what became of it.

        Those that are begun one after another are decided in that order.
        """
        try:
            return self._engine.enqueue(command, batch)
        except BankError as error:
            batch.heed(error)
            return error

    def begin_atomic(self, commands: Sequence[PostingCommand], batch: Batch) -> list[Begun]:
        """Let transfers wait for a commit that does all of them or none; see `begin`."""
        try:
            return list(self._engine.enqueue_atomic(commands, batch))
        except BankError as error:
            batch.heed(error)
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
            else:
                settled.append(key_reused() if outcome.key_reused else outcome)
        return settled

    async def preview(self, caller: Caller, order: TransferOrder) -> Preview:
        """Tell what a transfer would do now.

        Raises:
            NotFoundError: the sender's account is not the caller's.
        """
        command = transfer_command(caller, order, "preview")
        return preview_command(command, await self._ledger.read_accounts([command]))

    async def preview_slice(
        self, caller: Caller, commands: Sequence[PostingCommand], carried: Mapping[str, str]
    ) -> SlicePreview:
        """Tell what transfers would do now, one after another, behind what is carried; nothing is written.

        Raises:
            InvalidRequestError, ConflictError: see `preview_slice` of the domain.
        """
        accounts, stored = await self._ledger.read_accounts_and_stored(commands, also=carried)
        return preview_slice(
            commands,
            owner=caller.user_id,
            accounts=accounts,
            stored=stored,
            carried=carried,
            new_id=self._new_id,
            now=self._clock(),
        )

    async def fund_account(
        self,
        actor: Actor,
        account_id: str,
        money: Money,
        *,
        reference: str | None,
        idempotency_key: str,
        alone_limit_minor: int | None = None,
    ) -> Settled:
        """Book money that has come in from outside the bank; the route asks for the permission.

        With a limit it is a group of its own: beyond that limit it is refused, and nothing beside it.

        Raises:
            NotFoundError: there is no such account.
            RejectedError: it is frozen, closed, or kept in another currency.
            BeyondAloneLimitError: the actor would have funded more than the limit today; nothing was written.
        """
        command = await self._funding(
            BookingAct(actor=actor, alone_limit_minor=alone_limit_minor),
            account_id,
            money,
            initiator=actor.user_id,
            reference=reference,
            idempotency_key=idempotency_key,
        )
        post = self._engine.post if alone_limit_minor is None else self._engine.post_alone
        return booked(command, await post(command))

    async def fund_approved(
        self,
        actor: Actor,
        approval: Approval,
        account_id: str,
        money: Money,
        *,
        reference: str | None,
        idempotency_key: str,
    ) -> Settled:
        """Book money on another person's request, which the actor approves by it.

        It is a group of its own: a request that is decided at the same moment refuses this command only.

        Raises:
            ConflictError: the request was decided meanwhile; nothing was booked.
            RejectedError: as `fund_account`; the attempt is kept and the request decided.
        """
        command = await self._funding(
            BookingAct(actor=actor, approval=approval),
            account_id,
            money,
            initiator=approval.requester_id,
            reference=reference,
            idempotency_key=idempotency_key,
        )
        return booked(command, await self._engine.post_alone(command))

    async def check_key_is_new(self, initiator: UUID, idempotency_key: str) -> None:
        """Go on only if nothing was posted under the key; see `MongoLedger.check_key_is_new`."""
        await self._ledger.check_key_is_new(initiator, idempotency_key)

    async def check_fundable(self, actor: Actor, account_id: str) -> None:
        """Go on only if there is such an account, and it is not the actor's own.

        Raises:
            NotFoundError: there is none.
            ForbiddenError: `own_account`.
        """
        account = await self._accounts.find(account_id, owner=None)
        if account is None:
            raise account_not_found(account_id)
        check_not_own(account, actor.user_id)

    async def _funding(
        self,
        act: BookingAct,
        account_id: str,
        money: Money,
        *,
        initiator: UUID | None,
        reference: str | None,
        idempotency_key: str,
    ) -> PostingCommand:
        if initiator is None:
            raise ValueError("accounts are funded by somebody's hand only")
        await self.check_fundable(act.actor, account_id)
        await self._ensure_settlement_account(money.currency)
        return PostingCommand(
            kind=TransactionKind.FUNDING,
            initiator=initiator,
            sender_owner=None,
            idempotency_key=idempotency_key,
            from_account=settlement_account(money.currency),
            to_account=account_id,
            amount_minor=money.minor,
            currency=money.currency,
            reference=reference,
            act=act,
        )

    async def _ensure_settlement_account(self, currency: str) -> None:
        if currency not in self._settlement_currencies:
            await self._accounts.ensure_settlement_account(currency)
            self._settlement_currencies.add(currency)


def transfer_command(caller: Caller, order: TransferOrder, idempotency_key: str) -> PostingCommand:
    """Return what the engine is asked for when a caller orders a transfer."""
    return PostingCommand(
        kind=TransactionKind.TRANSFER,
        initiator=caller.user_id,
        sender_owner=caller.user_id,
        idempotency_key=idempotency_key,
        from_account=order.from_account,
        to_account=order.to_account,
        amount_minor=order.money.minor,
        currency=order.money.currency,
        reference=order.reference,
    )


def booked(command: PostingCommand, outcome: Outcome) -> Settled:
    """Log what staff have booked, and return it.

    Raises:
        RejectedError, NotFoundError: a rule refused it, or the key was used for another request.
    """
    if command.act is not None and not outcome.replayed and not outcome.key_reused:
        log_act(booking_entry(command.act, outcome.transaction))
    return settled_or_refused(outcome)


def settled_or_refused(outcome: Outcome) -> Settled:
    """Return what was posted.

    Raises:
        RejectedError, NotFoundError: a rule refused it, or the key was used for another request.
    """
    if outcome.key_reused:
        raise key_reused()
    failure = outcome.transaction.failure
    if failure is not None:
        raise refusal(failure, outcome.transaction.id, replayed=outcome.replayed)
    return Settled(outcome.transaction, outcome.replayed)
