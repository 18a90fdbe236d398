"""An account as the ledger knows it: the fold of its entries."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from daemons.contracts.names import AccountStatus, AccountType

_SETTLEMENT_PREFIX = "settlement:"
_ADJUSTMENT_PREFIX = "adjustment:"
_BANKS_PREFIXES = (_SETTLEMENT_PREFIX, _ADJUSTMENT_PREFIX)
_TALLY_PREFIX = "tally:"
_OF_RECORD = "of"


class Terms(NamedTuple):
    """What an account is, apart from its balance. The bank's own accounts have neither owner nor type."""

    owner: UUID | None
    type: AccountType | None
    status: AccountStatus
    currency: str
    name: str | None = None
    status_reason: str | None = None
    opened_at: datetime | None = None

    def changed(self, change: Mapping[str, Any]) -> "Terms":
        """Return the terms after a change, which holds plain values as entries keep them."""
        fields = dict(change)
        if "status" in fields:
            fields["status"] = AccountStatus(fields["status"])
        if fields.get("type") is not None:
            fields["type"] = AccountType(fields["type"])
        return self._replace(**fields)


@dataclass(slots=True)
class Account:
    """An account's state after its entry number `sequence`; two states under one number are the same.

    `is_exact` tells that no later entry exists: one that was only read from the cache of accounts may lag.
    """

    id: str
    terms: Terms
    balance_minor: int
    sequence: int
    is_exact: bool = True

    def copy(self) -> "Account":
        """Return the same for another to change; hundreds are made for each commit."""
        return Account(self.id, self.terms, self.balance_minor, self.sequence, self.is_exact)


class Entry(NamedTuple):
    """What a record does to one account: a signed amount, the balance after it, the account's own count.

    `change` holds those terms that it changes, as plain values; an opening changes all of them.
    """

    account_id: str
    owner: UUID | None
    amount_minor: int
    balance_after_minor: int
    sequence: int
    change: Mapping[str, Any] | None = None


def settlement_account(currency: str) -> str:
    """Return the id of the bank's account through which a currency enters and leaves the bank."""
    return _SETTLEMENT_PREFIX + currency


def adjustment_account(currency: str) -> str:
    """Return the id of the bank's account against which it corrects balances of a currency."""
    return _ADJUSTMENT_PREFIX + currency


def tally(*names: object) -> str:
    """Return the id of a count that a limit rests on; it has entries and numbers as an account has."""
    return _TALLY_PREFIX + ":".join(map(str, names))


def tally_of(record_id: UUID) -> str:
    """Return the id of the count of what later records take back of a record; they stand in its history."""
    return tally(_OF_RECORD, record_id)


def is_tally_of_record(account_id: str) -> bool:
    """Tell whether the id is one that `tally_of` makes."""
    return account_id.startswith(f"{_TALLY_PREFIX}{_OF_RECORD}:")


def is_banks_account(account_id: str) -> bool:
    """Tell whether the id is one of the bank's own accounts; no customer's number looks like one."""
    return account_id.startswith(_BANKS_PREFIXES)


def is_tally(account_id: str) -> bool:
    """Tell whether the id is a tally's: it holds no money."""
    return account_id.startswith(_TALLY_PREFIX)


def untouched(account_id: str) -> Account | None:
    """Return the state, before any entry, of what exists without being opened: the bank's own and tallies."""
    if is_banks_account(account_id):
        currency = account_id.partition(":")[2]
        return Account(account_id, Terms(None, None, AccountStatus.ACTIVE, currency), 0, 0)
    if is_tally(account_id):
        return Account(account_id, Terms(None, None, AccountStatus.ACTIVE, ""), 0, 0)
    return None
