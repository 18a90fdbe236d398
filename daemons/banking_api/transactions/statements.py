"""Reading the journal as its owners see it."""

from dataclasses import dataclass
from uuid import UUID

from daemons.banking_api.kinds.change import account_not_found
from daemons.banking_api.ledger.account import is_banks_account
from daemons.banking_api.ledger.readers import AccountReader, Page, RecordReader
from daemons.banking_api.ledger.record import Record, RecordStatus
from daemons.banking_api.user_directory import UserDirectory
from daemons.contracts.errors import NotFoundError
from daemons.contracts.permissions import Permission
from daemons.shared.auth.callers import Caller


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One transaction from one account's side; the other side's balance is nobody's business here."""

    record: Record
    amount_minor: int
    balance_after_minor: int | None
    sequence: int | None
    counterparty_account: str | None
    counterparty_name: str | None


class Statements:
    """An account's history, a user's transactions, one transaction."""

    def __init__(self, records: RecordReader, accounts: AccountReader, directory: UserDirectory) -> None:
        self._records = records
        self._accounts = accounts
        self._directory = directory

    async def account_history(
        self, caller: Caller, account_id: str, *, limit: int, cursor: str | None
    ) -> tuple[list[StatementLine], str | None]:
        """Return a page of an account's history with the other parties' names, newest first.

        The names of a page are looked up at once, never one by one.
        """
        owner = None if caller.may(Permission.READ_ANY_ACCOUNT) else caller.user_id
        if await self._accounts.find(account_id, owner=owner) is None:
            raise account_not_found(account_id)
        records, next_cursor = await self._records.history(account_id, limit=limit, cursor=cursor)
        owners = {_counterparty_owner(record, account_id) for record in records} - {None}
        names = await self._directory.names(owner for owner in owners if owner)
        return [_line(record, account_id, names) for record in records], next_cursor

    async def transaction(self, caller: Caller, transaction_id: UUID) -> Record:
        """Return a transaction that concerns the caller, or any for those who read all.

        Raises:
            NotFoundError: there is none.
        """
        visible_to = None if caller.may(Permission.READ_ANY_ACCOUNT) else caller.user_id
        found = await self._records.find(transaction_id, visible_to=visible_to)
        if found is None:
            raise transaction_not_found()
        return found

    async def initiated(
        self, initiator: UUID | None, *, status: RecordStatus | None, limit: int, cursor: str | None
    ) -> Page:
        """Return what one user, or with no initiator anybody, has asked for, newest first."""
        return await self._records.initiated(initiator=initiator, status=status, limit=limit, cursor=cursor)


def transaction_not_found() -> NotFoundError:
    """The error for a transaction that does not exist or does not concern the caller."""
    return NotFoundError("transaction_not_found", "You have no such transaction.")


def _counterparty_owner(record: Record, account_id: str) -> UUID | None:
    """Return who owns the other account; a failed attempt tells only the number that was typed."""
    others = (entry.owner for entry in record.entries if entry.account_id != account_id and entry.owner)
    return next(others, None)


def _line(record: Record, account_id: str, names: dict[UUID, str | None]) -> StatementLine:
    data = record.data
    leaves = data["from"] == account_id
    other_account, other_owner = data["to" if leaves else "from"], _counterparty_owner(record, account_id)
    entry = record.entry_of(account_id)
    return StatementLine(
        record=record,
        amount_minor=entry.amount_minor if entry else (-1 if leaves else 1) * data["amount"],
        balance_after_minor=entry.balance_after_minor if entry else None,
        sequence=entry.sequence if entry else None,
        counterparty_account=None if is_banks_account(other_account) else other_account,
        counterparty_name=names.get(other_owner) if other_owner else None,
    )
