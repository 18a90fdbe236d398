"""Which acts wait for approval, and what one person may book alone: one policy, from the settings.

docs/adr/0010 argues it.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator
from pydantic_settings import NoDecode

from daemons.contracts.permissions import Permission


class GuardedAct(StrEnum):
    """The acts that wait for approval."""

    UNFREEZE = "unfreeze"
    FUND = "fund"
    CHANGE_ROLE = "change_role"
    LOCK_STAFF = "lock_staff"
    UNLOCK_STAFF = "unlock_staff"
    ADJUST = "adjust"
    WITHDRAW = "withdraw"
    REVERSE = "reverse"
    RESET_SECOND_FACTOR = "reset_second_factor"

    @property
    def permission(self) -> Permission:
        """What asking for the act needs, and still needs when it is approved."""
        return _PERMISSIONS[self]


_PERMISSIONS = {
    GuardedAct.UNFREEZE: Permission.FREEZE_ACCOUNTS,
    GuardedAct.FUND: Permission.FUND_ACCOUNTS,
    GuardedAct.CHANGE_ROLE: Permission.MANAGE_USERS,
    GuardedAct.LOCK_STAFF: Permission.MANAGE_USERS,
    GuardedAct.UNLOCK_STAFF: Permission.MANAGE_USERS,
    GuardedAct.ADJUST: Permission.ADJUST_ACCOUNTS,
    GuardedAct.WITHDRAW: Permission.WITHDRAW_AT_COUNTER,
    GuardedAct.REVERSE: Permission.REVERSE_TRANSACTIONS,
    GuardedAct.RESET_SECOND_FACTOR: Permission.MANAGE_USERS,
}
ALWAYS_GUARDED = frozenset({GuardedAct.ADJUST, GuardedAct.RESET_SECOND_FACTOR})
"""What nobody does alone, whatever the settings say (docs/adr/0016, docs/identity.md)."""
COUNTED = frozenset({GuardedAct.FUND, GuardedAct.WITHDRAW})
"""What one person may do alone up to a limit in a day."""
NO_ACTS = "none"
LIMITS = "EUR=1000,USD=1000,GBP=1000,CHF=1000,JPY=150000"
_LIMIT = re.compile(r"([A-Z]{3})=([0-9]+(?:\.[0-9]+)?)")


def _read_acts(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    named = [part.strip() for part in value.split(",") if part.strip()]
    # An unset variable that a compose file passes on as an empty one must not lift the policy.
    return [] if named == [NO_ACTS] else named or list(GuardedAct)


def _read_limits(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    limits: dict[str, Decimal] = {}
    for part in filter(None, map(str.strip, value.split(","))):
        found = _LIMIT.fullmatch(part)
        if found is None or found[1] in limits:
            raise ValueError(f"lists CURRENCY=AMOUNT, separated by commas, each currency once; not {part!r}")
        limits[found[1]] = Decimal(found[2])
    return limits


class FourEyesSettings(BaseModel):
    """`FOUR_EYES_ACTIONS=unfreeze,fund` (unless said: all; or `none`), `FOUR_EYES_LIMITS=EUR=1000`.

    A limit is what one person may book alone of each counted act in that currency within a day (UTC), in its
    major units; in a currency that has none, each such act waits.
    """

    four_eyes_actions: Annotated[frozenset[GuardedAct], NoDecode, BeforeValidator(_read_acts)] = frozenset(
        GuardedAct
    )
    four_eyes_limits: Annotated[Mapping[str, Decimal], NoDecode, BeforeValidator(_read_limits)] = (
        _read_limits(LIMITS)
    )

    def needs_approval(self, act: GuardedAct) -> bool:
        """Tell whether the policy makes this act wait for approval; see `alone_limit`."""
        return act in ALWAYS_GUARDED or act in self.four_eyes_actions

    def alone_limit(self, act: GuardedAct, currency: str) -> Decimal | None:
        """Return how much one person may do alone of an act within a day; None for any amount."""
        if not self.needs_approval(act):
            return None
        return self.four_eyes_limits.get(currency, Decimal(0)) if act in COUNTED else Decimal(0)
