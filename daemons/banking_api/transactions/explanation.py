"""Why a transaction came out as it did: what it found, what it left, and where it is sealed."""

from dataclasses import dataclass
from uuid import UUID

from pydantic import Field

from daemons.banking_api.ledger.account import Entry, is_banks_account
from daemons.banking_api.ledger.readers import RecordReader
from daemons.banking_api.ledger.record import Record
from daemons.banking_api.ledger.seal import Seal
from daemons.banking_api.money import format_minor
from daemons.banking_api.transactions.models import TransactionView
from daemons.banking_api.transactions.statements import transaction_not_found
from daemons.banking_api.transactions.views import transaction_view
from daemons.banking_api.user_directory import UserDirectory
from daemons.contracts.permissions import Permission
from daemons.contracts.wire import DecimalText, Instant, UuidText, WireModel
from daemons.shared.auth.callers import Caller


class ExplainedUser(WireModel):
    """A user with the name that they have now."""

    user_id: UuidText
    display_name: str | None


class ExplainedEntry(WireModel):
    """What happened to one account, with its figures of that moment, in units of the transaction's currency.

    A refused attempt moved nothing: both balances are the one that it found, and it took no number.
    """

    account_id: str
    owner: ExplainedUser | None
    amount: DecimalText
    balance_before: DecimalText
    balance_after: DecimalText
    sequence: int | None


class Check(WireModel):
    """A rule that was applied, in words with its figures, and whether it let the transaction pass."""

    rule: str
    finding: str
    passed: bool


class ExplainedSeal(WireModel):
    """The group of records that it is sealed in: number and hash stand in the journal's chain."""

    number: int
    hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    sealed_at: Instant


class Explanation(WireModel):
    """A transaction, who asked for it, what was checked, its entries, and its seal."""

    transaction: TransactionView
    initiated_by: ExplainedUser
    checks: list[Check]
    entries: list[ExplainedEntry]
    seal: ExplainedSeal | None


@dataclass(frozen=True, slots=True)
class _Found:
    record: Record
    seal: Seal | None
    entries: list[Entry]
    names: dict[UUID, str | None]


class Explanations:
    """Puts together what the journal holds of a transaction; nothing is kept for it."""

    def __init__(self, records: RecordReader, directory: UserDirectory) -> None:
        self._records = records
        self._directory = directory

    async def find(self, caller: Caller, transaction_id: UUID) -> Record:
        """Return a transaction that concerns the caller, or any for those who read all.

        Raises:
            NotFoundError: there is none, or it does not concern the caller.
        """
        sees_all = caller.may(Permission.READ_ANY_ACCOUNT)
        record = await self._records.find(transaction_id, visible_to=None if sees_all else caller.user_id)
        if record is None:
            raise transaction_not_found()
        return record

    async def explain(self, caller: Caller, record: Record) -> Explanation:
        """Explain a transaction that the caller may read; who reads all sees both sides, others their own."""
        sees_all = caller.may(Permission.READ_ANY_ACCOUNT)
        touched = record.entries if record.attempt is None else (record.attempt,)
        entries = [
            entry
            for entry in touched
            if entry.account_id in {record.data["from"], record.data["to"]}
            and (sees_all or entry.owner == caller.user_id)
        ]
        owners = {entry.owner for entry in entries if entry.owner is not None}
        names = await self._directory.names({record.initiator, *owners})
        return _view(_Found(record, await self._records.seal_with(record.id), entries, names))


def _view(found: _Found) -> Explanation:
    record, currency = found.record, found.record.data["currency"]
    return Explanation(
        transaction=transaction_view(record),
        initiated_by=_user(record.initiator, found),
        checks=[check for entry in found.entries for check in _checks(record, entry)] + _verdict(record),
        entries=[
            ExplainedEntry(
                account_id=entry.account_id,
                owner=None if entry.owner is None else _user(entry.owner, found),
                amount=format_minor(0 if record.failure else entry.amount_minor, currency),
                balance_before=format_minor(_before(record, entry), currency),
                balance_after=format_minor(entry.balance_after_minor, currency),
                sequence=None if record.failure else entry.sequence,
            )
            for entry in found.entries
        ],
        seal=None
        if found.seal is None
        else ExplainedSeal(number=found.seal.number, hash=found.seal.hash.hex(), sealed_at=found.seal.at),
    )


def _user(user_id: UUID, found: _Found) -> ExplainedUser:
    return ExplainedUser(user_id=str(user_id), display_name=found.names.get(user_id))


def _before(record: Record, entry: Entry) -> int:
    return entry.balance_after_minor - (0 if record.failure else entry.amount_minor)


def _checks(record: Record, entry: Entry) -> list[Check]:
    """Return what was looked at on the account that money leaves: how much was there, and was asked for."""
    if entry.account_id != record.data["from"] or is_banks_account(entry.account_id):
        return []
    currency, asked = record.data["currency"], record.data["amount"]
    before = _before(record, entry)
    needs = (
        f"{format_minor(before, currency)} {currency} were there, {format_minor(asked, currency)} asked for"
    )
    if record.data.get("overdraws"):
        return [Check(rule="balance", finding=f"{needs}; it may overdraw the account", passed=True)]
    return [Check(rule="balance", finding=needs, passed=before >= asked)]


def _verdict(record: Record) -> list[Check]:
    limit = record.data.get("at_most")
    currency = record.data["currency"]
    limits = (
        [
            Check(
                rule="limit",
                finding=f"at most {format_minor(limit, currency)} {currency} together",
                passed=True,
            )
        ]
        if isinstance(limit, int)
        else []
    )
    if record.failure is None:
        return limits
    return [*limits, Check(rule=record.failure.code, finding=record.failure.detail, passed=False)]
