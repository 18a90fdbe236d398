"""Opening, reading and changing accounts."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from uuid import UUID

from daemons.banking_api.domain import account as rules
from daemons.banking_api.domain.account import (
    Account,
    AccountStatus,
    AccountType,
    account_not_found,
    opening_fingerprint,
)
from daemons.banking_api.domain.account_number import account_number
from daemons.banking_api.domain.journal import key_reused
from daemons.banking_api.domain.money import check_currency
from daemons.banking_api.services.events import tell_of_account
from daemons.banking_api.services.witness import AccountWitness
from daemons.banking_api.storage.journal_documents import AccountChange
from daemons.banking_api.storage.mongo_accounts import Change, MongoAccounts, Opened, Tell
from daemons.contracts.errors import TransientError
from daemons.contracts.permissions import Permission
from daemons.shared.approvals.approval import Approval, approval_outdated
from daemons.shared.audit.record import Actor
from daemons.shared.auth.callers import Caller

_ATTEMPTS_AT_A_FREE_NUMBER = 8
_CHANGES = {"freeze": "frozen", "unfreeze": "unfrozen", "change_type": "type_changed", "close": "closed"}


class Accounts:
    """What callers may do with accounts: their own, or any if their role says so."""

    def __init__(
        self,
        store: MongoAccounts,
        witness: AccountWitness,
        *,
        clock: Callable[[], datetime],
        new_id: Callable[[], UUID],
        draw_payload: Callable[[], int],
        holding_back_payments: Callable[[str], AbstractAsyncContextManager[None]],
    ) -> None:
        self._store = store
        self._holding_back_payments = holding_back_payments
        self._witness = witness
        self._clock = clock
        self._new_id = new_id
        self._draw_payload = draw_payload

    async def open(
        self,
        caller: Caller,
        *,
        type_: AccountType,
        currency: str,
        name: str | None,
        idempotency_key: str | None,
    ) -> Opened:
        """Open an account of the caller's under a number nobody can guess from another.

        With an idempotency key that the caller has used before, return the account opened then.

        Raises:
            RejectedError: the key was used for another request.
        """
        check_currency(currency)
        fingerprint = opening_fingerprint(type_, currency, name)
        for _ in range(_ATTEMPTS_AT_A_FREE_NUMBER):
            account = Account(
                id=account_number(self._draw_payload()),
                owner=caller.user_id,
                name=name,
                type=type_,
                status=AccountStatus.ACTIVE,
                status_reason=None,
                currency=currency,
                balance_minor=0,
                sequence=0,
                opened_at=self._clock(),
            )
            tell = self._tell(caller.user_id, "opened", None, event_id=self._new_id(), at=account.opened_at)
            opened = await self._store.insert(
                account, idempotency_key=idempotency_key, fingerprint=fingerprint, tell=tell
            )
            if opened is None:
                continue
            if opened.fingerprint != fingerprint:
                raise key_reused()
            return opened
        raise TransientError("unavailable", "No free account number was found; try again.")

    async def fetch(self, caller: Caller, account_id: str) -> Account:
        """Return an account that the caller may read.

        Raises:
            NotFoundError: there is none.
        """
        owner = _scope(caller, Permission.READ_ANY_ACCOUNT)
        account = await self._store.find(account_id, owner=owner)
        if account is None:
            raise account_not_found(account_id)
        return account

    async def page(
        self, owner: UUID | None, *, status: AccountStatus | None, limit: int, cursor: str | None
    ) -> tuple[list[Account], str | None]:
        """Return one user's accounts, or with no owner everybody's, newest first."""
        return await self._store.page(owner=owner, status=status, limit=limit, cursor=cursor)

    async def freeze(self, actor: Actor, account_id: str, reason: str) -> Account:
        """Stop all money on an account; the route asks for the permission."""
        return await self._change(
            actor,
            "freeze",
            account_id,
            change=lambda account: rules.freeze(_not_own(account, actor), reason),
            reason=reason,
        )

    async def unfreeze(
        self, actor: Actor, account_id: str, reason: str, *, approval: Approval | None = None
    ) -> Account:
        """Let money move again; the route asks for the permission.

        With an approval, which the actor has given, it is marked as carried out in the same transaction.

        Raises:
            ForbiddenError: `own_account`.
            ConflictError: it is not frozen, or has changed since the approval was asked for.
        """

        def change(account: Account) -> Account:
            # Frozen anew, or corrected meanwhile: the request was about an account that is no more.
            if approval is not None and approval.parameters["sequence"] != account.sequence:
                raise approval_outdated(f"Account {account.id}")
            return rules.unfreeze(_not_own(account, actor), reason)

        return await self._change(
            actor, "unfreeze", account_id, change=change, reason=reason, approval=approval
        )

    async def check_unfreezable(self, actor: Actor, account_id: str, reason: str) -> Account:
        """Return the account if it could be unfrozen now.

        Raises:
            NotFoundError: there is no such account.
            ForbiddenError: `own_account`.
            ConflictError: it is not frozen.
        """
        account = await self._store.find(account_id, owner=None)
        if account is None:
            raise account_not_found(account_id)
        rules.unfreeze(_not_own(account, actor), reason)
        return account

    async def change_type(
        self, caller: Caller, actor: Actor, account_id: str, new_type: AccountType
    ) -> Account:
        """Make an account of the caller's, or any for those who manage them, checking or savings."""
        return await self._change(
            actor,
            "change_type",
            account_id,
            owner=_scope(caller, Permission.MANAGE_ANY_ACCOUNT),
            change=lambda account: rules.change_type(account, new_type),
            reason=None,
        )

    async def close(self, caller: Caller, actor: Actor, account_id: str, reason: str | None) -> Account:
        """Close an empty account of the caller's, or any for those who manage them."""
        return await self._change(
            actor,
            "close",
            account_id,
            owner=_scope(caller, Permission.MANAGE_ANY_ACCOUNT),
            change=lambda account: rules.close(account, reason),
            reason=reason,
        )

    async def _change(
        self,
        actor: Actor,
        act: str,
        account_id: str,
        *,
        change: Change,
        reason: str | None,
        owner: UUID | None = None,
        approval: Approval | None = None,
    ) -> Account:
        if actor.user_id is None:
            raise ValueError("accounts change by somebody's hand only")
        testimony = self._witness.of(
            actor, act, account_id, reason=reason, at=self._clock(), approval=approval
        )
        change_id, now = self._new_id(), self._clock()
        if owner is not None and await self._store.find(account_id, owner=owner) is None:
            # Nobody may hold back payments on an account that is not theirs.
            raise account_not_found(account_id)
        # A change and a payment both want the account's next number: a freeze must not lose to payments.
        async with self._holding_back_payments(account_id):
            changed = await self._store.change(
                account_id,
                owner=owner,
                change=change,
                numbered=lambda entry: AccountChange(change_id, _CHANGES[act], entry, now),
                tell=self._tell(actor.user_id, _CHANGES[act], reason, event_id=change_id, at=now),
                alongside=testimony.write,
            )
        testimony.log()
        return changed

    @staticmethod
    def _tell(by: UUID, change: str, reason: str | None, *, event_id: UUID, at: datetime) -> Tell:
        return lambda account: tell_of_account(
            account, change=change, reason=reason, by=by, event_id=event_id, at=at
        )


def _not_own(account: Account, actor: Actor) -> Account:
    rules.check_not_own(account, actor.user_id)
    return account


def _scope(caller: Caller, permission: Permission) -> UUID | None:
    """Return whose accounts the caller may reach: anybody's (None) with the permission, else their own."""
    return None if caller.may(permission) else caller.user_id
