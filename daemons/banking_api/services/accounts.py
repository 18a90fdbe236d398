"""Opening, reading and changing accounts."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from daemons.banking_api.domain import account as rules
from daemons.banking_api.domain.account import Account, AccountStatus, AccountType, account_not_found
from daemons.banking_api.domain.account_number import account_number
from daemons.banking_api.domain.money import check_currency
from daemons.banking_api.services.events import tell_of_account
from daemons.banking_api.storage.mongo_accounts import MongoAccounts, Tell
from daemons.contracts.errors import TransientError
from daemons.contracts.permissions import Permission
from daemons.shared.auth.callers import Caller

_ATTEMPTS_AT_A_FREE_NUMBER = 8


class Accounts:
    """What callers may do with accounts: their own, or any if their role says so."""

    def __init__(
        self,
        store: MongoAccounts,
        *,
        clock: Callable[[], datetime],
        new_id: Callable[[], UUID],
        draw_payload: Callable[[], int],
    ) -> None:
        self._store = store
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
    ) -> Account:
        """Open an account of the caller's under a number nobody can guess from another.

        With an idempotency key that the caller has used before, return the account opened then.
        """
        check_currency(currency)
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
            tell = self._tell(caller, "opened", None)
            opened = await self._store.insert(account, idempotency_key=idempotency_key, tell=tell)
            if opened is not None:
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

    async def freeze(self, caller: Caller, account_id: str, reason: str) -> Account:
        """Stop all money on an account; the route asks for the permission."""
        tell = self._tell(caller, "frozen", reason)
        return await self._store.change(
            account_id, owner=None, change=lambda account: rules.freeze(account, reason), tell=tell
        )

    async def unfreeze(self, caller: Caller, account_id: str, reason: str) -> Account:
        """Let money move again; the route asks for the permission."""
        tell = self._tell(caller, "unfrozen", reason)
        return await self._store.change(
            account_id, owner=None, change=lambda account: rules.unfreeze(account, reason), tell=tell
        )

    async def change_type(self, caller: Caller, account_id: str, new_type: AccountType) -> Account:
        """Make an account of the caller's, or any for those who manage them, checking or savings."""
        owner = _scope(caller, Permission.MANAGE_ANY_ACCOUNT)
        tell = self._tell(caller, "type_changed", None)
        return await self._store.change(
            account_id, owner=owner, change=lambda account: rules.change_type(account, new_type), tell=tell
        )

    async def close(self, caller: Caller, account_id: str, reason: str | None) -> Account:
        """Close an empty account of the caller's, or any for those who manage them."""
        owner = _scope(caller, Permission.MANAGE_ANY_ACCOUNT)
        tell = self._tell(caller, "closed", reason)
        return await self._store.change(
            account_id, owner=owner, change=lambda account: rules.close(account, reason), tell=tell
        )

    def _tell(self, caller: Caller, change: str, reason: str | None) -> Tell:
        event_id, now = self._new_id(), self._clock()
        return lambda account: tell_of_account(
            account, change=change, reason=reason, by=caller.user_id, event_id=event_id, at=now
        )


def _scope(caller: Caller, permission: Permission) -> UUID | None:
    """Return whose accounts the caller may reach: anybody's (None) with the permission, else their own."""
    return None if caller.may(permission) else caller.user_id
