"""Reading the journal as its owners see it."""

from dataclasses import dataclass
from uuid import UUID

from daemons.banking_api.domain.journal import JournalTransaction, TransactionStatus, is_system_account
from daemons.banking_api.services.accounts import Accounts
from daemons.banking_api.storage.account_history import AccountHistory
from daemons.banking_api.storage.mongo_journal import MongoJournal, Page
from daemons.banking_api.storage.user_directory import UserDirectory
from daemons.contracts.errors import NotFoundError
from daemons.contracts.permissions import Permission
from daemons.shared.auth.callers import Caller


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One transaction from one account's side; the other side's balance is nobody's business here."""

    transaction: JournalTransaction
    amount_minor: int
    balance_after_minor: int | None
    sequence: int | None
    counterparty_account: str | None
    counterparty_name: str | None


class Statements:
    """An account's history, a user's transactions, one transaction."""

    def __init__(
        self, journal: MongoJournal, history: AccountHistory, accounts: Accounts, directory: UserDirectory
    ) -> None:
        self._journal = journal
        self._history = history
        self._accounts = accounts
        self._directory = directory

    async def account_history(
        self, caller: Caller, account_id: str, *, limit: int, cursor: str | None
    ) -> tuple[list[StatementLine], str | None]:
        """Return a page of an account's history with the other parties' names, newest first.

        The names of a page are looked up at once, never one by one.
        """
        await self._accounts.fetch(caller, account_id)
        transactions, next_cursor = await self._history.page(account_id, limit=limit, cursor=cursor)
        owners = {_counterparty(transaction, account_id)[1] for transaction in transactions} - {None}
        names = await self._directory.names(owner for owner in owners if owner)
        return [_line(transaction, account_id, names) for transaction in transactions], next_cursor

    async def transaction(self, caller: Caller, transaction_id: UUID) -> JournalTransaction:
        """Return a transaction that concerns the caller, or any for those who read all.

        Raises:
            NotFoundError: there is none.
        """
        visible_to = None if caller.may(Permission.READ_ANY_ACCOUNT) else caller.user_id
        found = await self._journal.find(transaction_id, visible_to=visible_to)
        if found is None:
            raise transaction_not_found()
        return found

    async def initiated(
        self, initiator: UUID | None, *, status: TransactionStatus | None, limit: int, cursor: str | None
    ) -> Page:
        """Return what one user, or with no initiator anybody, has asked for, newest first."""
        return await self._journal.initiated(initiator=initiator, status=status, limit=limit, cursor=cursor)


def transaction_not_found() -> NotFoundError:
    """The error for a transaction that does not exist or does not concern the caller."""
    return NotFoundError("transaction_not_found", "You have no such transaction.")


def _counterparty(transaction: JournalTransaction, account_id: str) -> tuple[str, UUID | None]:
    if transaction.from_account == account_id:
        return transaction.to_account, transaction.to_owner
    return transaction.from_account, transaction.from_owner


def _line(transaction: JournalTransaction, account_id: str, names: dict[UUID, str | None]) -> StatementLine:
    other_account, other_owner = _counterparty(transaction, account_id)
    entry = transaction.entry_of(account_id)
    sign = -1 if transaction.from_account == account_id else 1
    return StatementLine(
        transaction=transaction,
        amount_minor=entry.amount_minor if entry else sign * transaction.amount_minor,
        balance_after_minor=entry.balance_after_minor if entry else None,
        sequence=entry.sequence if entry else None,
        counterparty_account=None if is_system_account(other_account) else other_account,
        # A failed attempt tells nothing of the other party but the number that was typed.
        counterparty_name=names.get(other_owner)
        if other_owner and transaction.status is TransactionStatus.COMPLETED
        else None,
    )
