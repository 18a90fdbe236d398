"""Opening, reading and changing accounts; unfreezing may wait for a second person (docs/adr/0010)."""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from daemons.banking_api.accounts.number import account_number
from daemons.banking_api.acts import log_outcome
from daemons.banking_api.kinds.change import ChangeOfAccount, account_after, account_not_found
from daemons.banking_api.kinds.close import Close
from daemons.banking_api.kinds.describe import ChangeType, Rename
from daemons.banking_api.kinds.freeze import Freeze, Unfreeze
from daemons.banking_api.kinds.opening import Opening
from daemons.banking_api.ledger.account import Account
from daemons.banking_api.ledger.ledger import Ledger
from daemons.banking_api.ledger.readers import AccountReader
from daemons.banking_api.ledger.record import Act, key_reused
from daemons.banking_api.money import check_currency
from daemons.contracts.errors import BankError
from daemons.contracts.names import AccountStatus, AccountType
from daemons.contracts.permissions import Permission
from daemons.shared.approvals.approval import Approval
from daemons.shared.approvals.approvals import Approvals
from daemons.shared.approvals.policy import GuardedAct, StaffPolicy
from daemons.shared.audit.record import Actor
from daemons.shared.auth.callers import Caller

_NUMBERS_DRAWN = 4
_TARGET = "account"


class Opened(NamedTuple):
    """An account that was opened, or had been under the same key."""

    account: Account
    replayed: bool


class Accounts:
    """What callers may do with accounts: their own, or any if their role says so."""

    def __init__(
        self,
        ledger: Ledger,
        reader: AccountReader,
        approvals: Approvals,
        policy: StaffPolicy,
        *,
        clock: Callable[[], datetime],
        new_id: Callable[[], UUID],
        draw_payload: Callable[[], int],
        most_per_user: int | None,
    ) -> None:
        self._ledger = ledger
        self._reader = reader
        self._approvals = approvals
        self._policy = policy
        self._clock = clock
        self._new_id = new_id
        self._draw_payload = draw_payload
        self._most_per_user = most_per_user
        approvals.carry_out_by({GuardedAct.UNFREEZE: self._unfreeze_approved})

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
            RejectedError: the key was used for another request, or the caller has as many as one may have.
        """
        command = Opening(
            initiator=caller.user_id,
            idempotency_key=idempotency_key or self._own_key(),
            numbers=tuple(account_number(self._draw_payload()) for _ in range(_NUMBERS_DRAWN)),
            type=type_,
            currency=check_currency(currency),
            name=name,
            most_per_user=self._most_per_user,
            opened_at=self._clock(),
        )
        outcome = await self._ledger.submit(command)
        if outcome.key_reused:
            raise key_reused()
        if outcome.replayed:
            return Opened(await self._find(outcome.record.data["account"]), replayed=True)
        return Opened(account_after(outcome.record), replayed=False)

    async def fetch(self, caller: Caller, account_id: str) -> Account:
        """Return an account that the caller may read.

        Raises:
            NotFoundError: there is none.
        """
        return await self._find(account_id, owner=_scope(caller, Permission.READ_ANY_ACCOUNT))

    async def page(
        self, owner: UUID | None, *, status: AccountStatus | None, limit: int, cursor: str | None
    ) -> tuple[list[Account], str | None]:
        """Return one user's accounts, or with no owner everybody's, newest first."""
        return await self._reader.page(owner=owner, status=status, limit=limit, cursor=cursor)

    async def freeze(self, actor: Actor, account_id: str, reason: str) -> Account:
        """Stop what customers do with an account; the route asks for the permission."""
        return await self._change(
            Freeze(
                initiator=_person(actor),
                idempotency_key=self._own_key(),
                act=Act(actor=actor),
                account_id=account_id,
                reason=reason,
            )
        )

    async def unfreeze(self, actor: Actor, account_id: str, reason: str) -> Account | Approval:
        """Let money move again, or return the request that waits for a second person.

        Raises:
            NotFoundError: there is no such account.
            ForbiddenError: `own_account`.
            ConflictError: it is not frozen.
        """
        if not self._policy.needs_approval(GuardedAct.UNFREEZE):
            return await self._change(self._unfreezing(actor, account_id, reason, approval=None))
        account = await self._find(account_id)
        refused = self._unfreezing(actor, account_id, reason, approval=None).change(account)
        if isinstance(refused, BankError):
            raise refused
        return await self._approvals.request(
            actor,
            GuardedAct.UNFREEZE,
            target=(_TARGET, account_id),
            reason=reason,
            parameters={"frozen_because": account.terms.status_reason, "sequence": account.sequence},
        )

    async def change_type(
        self, caller: Caller, actor: Actor, account_id: str, new_type: AccountType
    ) -> Account:
        """Make an account of the caller's, or any for those who manage them, checking or savings."""
        return await self._change(
            ChangeType(
                initiator=caller.user_id,
                idempotency_key=self._own_key(),
                act=Act(actor=actor),
                account_id=account_id,
                scope=_scope(caller, Permission.MANAGE_ANY_ACCOUNT),
                new_type=new_type,
            )
        )

    async def rename(self, caller: Caller, actor: Actor, account_id: str, name: str | None) -> Account:
        """Give an account of the caller's, or any for those who manage them, another name or none."""
        return await self._change(
            Rename(
                initiator=caller.user_id,
                idempotency_key=self._own_key(),
                act=Act(actor=actor),
                account_id=account_id,
                scope=_scope(caller, Permission.MANAGE_ANY_ACCOUNT),
                name=name,
            )
        )

    async def close(self, caller: Caller, actor: Actor, account_id: str, reason: str | None) -> Account:
        """Close an empty account of the caller's, or any for those who manage them."""
        return await self._change(
            Close(
                initiator=caller.user_id,
                idempotency_key=self._own_key(),
                act=Act(actor=actor),
                account_id=account_id,
                scope=_scope(caller, Permission.MANAGE_ANY_ACCOUNT),
                reason=reason,
            )
        )

    async def _unfreeze_approved(self, approval: Approval, by: Actor) -> None:
        await self._change(self._unfreezing(by, approval.target_id, approval.reason or "", approval=approval))

    def _unfreezing(
        self, actor: Actor, account_id: str, reason: str, *, approval: Approval | None
    ) -> Unfreeze:
        return Unfreeze(
            initiator=_person(actor),
            idempotency_key=self._own_key(),
            act=Act(actor=actor, approval=approval),
            account_id=account_id,
            reason=reason,
            # Frozen again, or corrected meanwhile: the account is no longer what the request was about.
            as_of=None if approval is None else approval.parameters["sequence"],
        )

    async def _change(self, command: ChangeOfAccount) -> Account:
        outcome = await self._ledger.submit(command)
        log_outcome(command, outcome)
        return account_after(outcome.record)

    async def _find(self, account_id: str, *, owner: UUID | None = None) -> Account:
        account = await self._reader.find(account_id, owner=owner)
        if account is None:
            raise account_not_found(account_id)
        return account

    def _own_key(self) -> str:
        """A key that no client can have sent: theirs hold no spaces."""
        return f"banking_api {self._new_id()}"


def _person(actor: Actor) -> UUID:
    if actor.user_id is None:
        raise ValueError("accounts change by somebody's hand only")
    return actor.user_id


def _scope(caller: Caller, permission: Permission) -> UUID | None:
    """Return whose accounts the caller may reach: anybody's (None) with the permission, else their own."""
    return None if caller.may(permission) else caller.user_id
