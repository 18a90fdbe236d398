"""Reading the journal as its owners see it."""

from dataclasses import dataclass
from uuid import UUID

from daemons.banking_api.kinds.change import account_not_found
from daemons.banking_api.kinds.table import MONEY_KINDS
from daemons.banking_api.ledger.account import Account, is_banks_account, tally_of
from daemons.banking_api.ledger.readers import AccountReader, Page, RecordReader
from daemons.banking_api.ledger.record import Record
from daemons.banking_api.user_directory import UserDirectory
from daemons.contracts.errors import NotFoundError
from daemons.contracts.names import RecordStatus
from daemons.contracts.permissions import Permission
from daemons.shared.auth.callers import Caller

_ACCOUNTS_SHOWN = 50
_LINES_SHOWN = 10
_FOLLOW_UPS_SHOWN = 200


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One transaction from one account's side; the other side's balance is nobody's business here."""

    record: Record
    amount_minor: int
    balance_after_minor: int | None
    sequence: int | None
    counterparty_account: str | None
    counterparty_name: str | None


@dataclass(frozen=True, slots=True)
class FollowedUp:
    """A transaction, how much later ones take back of it, and those of them that the reader may see."""

    record: Record
    taken_back_minor: int
    follow_ups: list[Record]


class Statements:
    """An account's history, a user's transactions, one transaction."""

    def __init__(self, records: RecordReader, accounts: AccountReader, directory: UserDirectory) -> None:
        self._records = records
        self._accounts = accounts
        self._directory = directory

    async def owner_of(self, caller: Caller, account_id: str) -> UUID | None:
        """Return whose account it is that the caller may read.

        Raises:
            NotFoundError: there is none.
        """
        owner = None if caller.may(Permission.READ_ANY_ACCOUNT) else caller.user_id
        account = await self._accounts.find(account_id, owner=owner)
        if account is None:
            raise account_not_found(account_id)
        return account.terms.owner

    async def account_history(
        self, account_id: str, *, limit: int, cursor: str | None
    ) -> tuple[list[StatementLine], str | None]:
        """Return a page of an account's history with the other parties' names, newest first.

        The names of a page are looked up at once, never one by one; see `owner_of` for who may read it.
        """
        records, next_cursor = await self._records.history(account_id, limit=limit, cursor=cursor)
        owners = {_counterparty_owner(record, account_id) for record in records} - {None}
        names = await self._directory.names(owner for owner in owners if owner)
        return [_line(record, account_id, names) for record in records], next_cursor

    async def overview(self, customer: UUID) -> list[tuple[Account, list[StatementLine]]]:
        """Return a customer's newest accounts, each with the newest lines of its statement."""
        accounts, _ = await self._accounts.page(
            owner=customer, status=None, limit=_ACCOUNTS_SHOWN, cursor=None
        )
        return [
            (account, (await self.account_history(account.id, limit=_LINES_SHOWN, cursor=None))[0])
            for account in accounts
        ]

    async def transaction(self, caller: Caller, transaction_id: UUID) -> FollowedUp:
        """Return a transaction that concerns the caller, or any for those who read all, and its follow-ups.

        Of more than a page of follow-ups the newest are returned.

        Raises:
            NotFoundError: there is none.
        """
        visible_to = None if caller.may(Permission.READ_ANY_ACCOUNT) else caller.user_id
        found = await self._records.find(transaction_id, visible_to=visible_to)
        if found is None:
            raise transaction_not_found()
        tally = tally_of(transaction_id)
        follow_ups, _ = await self._records.history(tally, limit=_FOLLOW_UPS_SHOWN, cursor=None)
        counted = follow_ups[0].entry_of(tally) if follow_ups else None
        return FollowedUp(
            found,
            0 if counted is None else counted.balance_after_minor,
            [later for later in follow_ups if visible_to is None or _concerns(later, visible_to)],
        )

    async def initiated(
        self, initiator: UUID | None, *, status: RecordStatus | None, limit: int, cursor: str | None
    ) -> Page:
        """Return what one user, or with no initiator anybody, has asked for, newest first."""
        return await self._records.initiated(initiator=initiator, status=status, limit=limit, cursor=cursor)


def transaction_not_found() -> NotFoundError:
    """The error for a transaction that does not exist or does not concern the caller."""
    return NotFoundError("transaction_not_found", "You have no such transaction.")


def owners_of(record: Record) -> set[UUID]:
    """Return the customers whose accounts a transaction concerns, or who tried it."""
    entries = record.entries if record.attempt is None else (record.attempt,)
    return {entry.owner for entry in entries if entry.owner is not None} or {record.initiator}


def _concerns(record: Record, user_id: UUID) -> bool:
    return any(entry.owner == user_id for entry in record.entries)


def _counterparty_owner(record: Record, account_id: str) -> UUID | None:
    """Return who owns the other account; a failed attempt tells only the number that was typed."""
    others = (entry.owner for entry in record.entries if entry.account_id != account_id and entry.owner)
    return next(others, None)


def _line(record: Record, account_id: str, names: dict[UUID, str | None]) -> StatementLine:
    data = record.data
    leaves = data["from"] == account_id
    other_account, other_owner = data["to" if leaves else "from"], _counterparty_owner(record, account_id)
    entry = record.entry_of(account_id)
    counterparty = _counterparty(record, other_account, names.get(other_owner) if other_owner else None)
    return StatementLine(
        record=record,
        amount_minor=entry.amount_minor if entry else (-1 if leaves else 1) * data["amount"],
        balance_after_minor=entry.balance_after_minor if entry else None,
        sequence=entry.sequence if entry else None,
        counterparty_account=counterparty[0],
        counterparty_name=counterparty[1],
    )


def _counterparty(record: Record, account_id: str, name: str | None) -> tuple[str | None, str | None]:
    if not is_banks_account(account_id):
        return account_id, name
    outside = MONEY_KINDS[record.kind].outside_party(record)
    return (None, None) if outside is None else (outside.account, outside.name)
