"""The table of kinds. A type checker finds it incomplete when `KindName` has a name that it lacks."""

from enum import StrEnum
from typing import assert_never

from daemons.banking_api.kinds.adjustment import Adjustment, AdjustmentDetails
from daemons.banking_api.kinds.close import Close
from daemons.banking_api.kinds.describe import ChangeType, Rename
from daemons.banking_api.kinds.freeze import Freeze, Unfreeze
from daemons.banking_api.kinds.funding import Funding
from daemons.banking_api.kinds.kind import Kind, MoneyKind
from daemons.banking_api.kinds.opening import Opening
from daemons.banking_api.kinds.reversal import Reversal, ReversalDetails
from daemons.banking_api.kinds.staff import StaffKind
from daemons.banking_api.kinds.transfer import Transfer
from daemons.banking_api.kinds.withdrawal import Withdrawal, WithdrawalDetails


class KindName(StrEnum):
    """What can happen to an account; records and metrics carry these names."""

    TRANSFER = "transfer"
    FUNDING = "funding"
    WITHDRAWAL = "withdrawal"
    REVERSAL = "reversal"
    ADJUSTMENT = "adjustment"
    OPENING = "opening"
    RENAME = "rename"
    CHANGE_TYPE = "change_type"
    FREEZE = "freeze"
    UNFREEZE = "unfreeze"
    CLOSE = "close"


def _kind(name: KindName) -> type[Kind]:  # noqa: C901, PLR0911 - one for each
    match name:
        case KindName.TRANSFER:
            return Transfer
        case KindName.FUNDING:
            return Funding
        case KindName.WITHDRAWAL:
            return Withdrawal
        case KindName.REVERSAL:
            return Reversal
        case KindName.ADJUSTMENT:
            return Adjustment
        case KindName.OPENING:
            return Opening
        case KindName.RENAME:
            return Rename
        case KindName.CHANGE_TYPE:
            return ChangeType
        case KindName.FREEZE:
            return Freeze
        case KindName.UNFREEZE:
            return Unfreeze
        case KindName.CLOSE:
            return Close
        # Only the type checker comes here, when a kind is missing above.
        case _:  # pragma: no mutate
            assert_never(name)  # pragma: no mutate


KINDS: dict[str, type[Kind]] = {name.value: _kind(name) for name in KindName}
MONEY_KINDS: dict[str, type[MoneyKind]] = {
    name: kind for name, kind in KINDS.items() if issubclass(kind, MoneyKind)
}
TRANSACTION_KINDS = list(MONEY_KINDS)
"""The kinds that statements and lists of transactions show."""
STAFF_KINDS = {kind.guard: kind for kind in KINDS.values() if issubclass(kind, StaffKind)}
"""By the act of the policy, those that a second person may have to approve."""


class KindDetails(AdjustmentDetails, WithdrawalDetails, ReversalDetails):
    """What only some kinds have, as a transaction's view shows it; null for all others."""
