"""The policy for staff: which acts wait for a second person, and how much one person may do in a day.

One TOML file, named by the setting STAFF_POLICY and checked when a daemon starts; docs/adr/0010 argues it.
"""

import tomllib
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_settings import NoDecode

from daemons.contracts.permissions import Permission
from daemons.contracts.wire import CurrencyCode


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
    CREATE_API_KEY = "create_api_key"
    ERASE_USER = "erase_user"

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
    GuardedAct.CREATE_API_KEY: Permission.APPROVE_ACTS,
    GuardedAct.ERASE_USER: Permission.MANAGE_USERS,
}
ALWAYS_GUARDED = frozenset({GuardedAct.ADJUST, GuardedAct.RESET_SECOND_FACTOR, GuardedAct.ERASE_USER})
"""What nobody does alone, whatever the policy says (docs/adr/0016, 0033, docs/identity.md)."""
COUNTED = frozenset({GuardedAct.FUND, GuardedAct.WITHDRAW})
"""What one person may do alone up to a limit in a day."""
OF_MONEY = COUNTED | {GuardedAct.ADJUST, GuardedAct.REVERSE}
"""What has an amount."""
APPROVING = frozenset({Permission.APPROVE_ACTS, Permission.MANAGE_USERS})
"""What approving needs, in one area or the other: no key for it is made by one person."""
LIFTED = "none"
_MOST_FILE_BYTES = 65_536

Amount = Annotated[Decimal, Field(ge=0, allow_inf_nan=False, max_digits=18)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ActPolicy(_Part):
    """Whether an act waits, and what one person may move by it within a day (UTC), in major units."""

    approval: Literal["always", "beyond", "never"] = "always"
    """`beyond`: what goes beyond the limits in `alone` waits; in another currency all of it."""
    alone: dict[CurrencyCode, Amount] = Field(default_factory=dict)
    """What one person may book without asking."""
    at_most: dict[CurrencyCode, Amount] = Field(default_factory=dict)
    """What one person may book by requests that another approves; in another currency any amount."""


_ALONE = {"EUR": 1000, "USD": 1000, "GBP": 1000, "CHF": 1000, "JPY": 150_000}
_BUILT_IN: dict[str, Any] = {
    "acts": {act.value: {"approval": "beyond", "alone": _ALONE} for act in sorted(COUNTED)}
}


class StaffPolicy(_Part):
    """The whole policy; what it leaves out is as the built-in one has it: every act takes two."""

    grant_days: Annotated[int, Field(ge=0, le=3650)] = 30
    """So many days nobody approves for those who gave them their role."""
    reading_hours: Annotated[int, Field(ge=0, le=24)] = 1
    """So long a reason to read a customer's data holds; 0 asks for none, and then no reading is recorded."""
    acts: dict[GuardedAct, ActPolicy] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        faults: list[str] = []
        for act, rule in self.acts.items():
            if rule.approval == "never" and act in ALWAYS_GUARDED:
                faults.append(f"acts.{act}: two people {act}, whatever a policy says")
            if rule.approval == "beyond" and act not in COUNTED:
                faults.append(f"acts.{act}: nobody does some of it alone; 'always' or 'never'")
            if rule.alone and rule.approval != "beyond":
                faults.append(f"acts.{act}: `alone` needs approval = 'beyond'")
            if rule.at_most and act not in OF_MONEY:
                faults.append(f"acts.{act}: `at_most` has a meaning for {', '.join(sorted(OF_MONEY))} only")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def rule(self, act: GuardedAct) -> ActPolicy:
        """Return what is said of an act."""
        return self.acts.get(act, _ALWAYS)

    def granted_since(self, now: datetime) -> datetime:
        """Return since when a role makes its user dependent on who gave it."""
        return now - timedelta(days=self.grant_days)

    def needs_approval(self, act: GuardedAct) -> bool:
        """Tell whether the act may have to wait for approval; see `alone_limit`."""
        return act in ALWAYS_GUARDED or self.rule(act).approval != "never"

    def alone_limit(self, act: GuardedAct, currency: str) -> Decimal | None:
        """Return how much one person may do alone of an act within a day; None for any amount."""
        if not self.needs_approval(act):
            return None
        return self.rule(act).alone.get(currency, Decimal(0))

    def most(self, act: GuardedAct, currency: str) -> Decimal | None:
        """Return how much one person may book within a day with others' approval; None for any amount."""
        return self.rule(act).at_most.get(currency)

    def currencies(self) -> set[str]:
        """Return the currencies that have limits."""
        return {
            code for rule in self.acts.values() for limits in (rule.alone, rule.at_most) for code in limits
        }


_ALWAYS = ActPolicy()


def _read(value: Any) -> Any:
    """Return what the setting stands for: a file's content, the lifted policy, or the built-in one."""
    if isinstance(value, str):
        # An unset variable that a compose file passes on as an empty one must not lift the policy.
        if not value.strip():
            return StaffPolicy.model_validate(_BUILT_IN)
        if value == LIFTED:
            never = {act.value: {"approval": "never"} for act in set(GuardedAct) - ALWAYS_GUARDED}
            return {"reading_hours": 0, "acts": never}
        return _read_file(Path(value))
    return value


def _read_file(path: Path) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            # Amounts as they are written: a binary fraction is not what was meant.
            found = tomllib.loads(file.read(_MOST_FILE_BYTES).decode(), parse_float=Decimal)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from None
    for name, rule in _BUILT_IN["acts"].items():
        acts = found.setdefault("acts", {})
        if isinstance(acts, dict):
            acts.setdefault(name, rule)
    return found


class StaffPolicySettings(BaseModel):
    """`STAFF_POLICY=/etc/bankctl/staff.toml`; unset, the built-in policy; `none` lifts it."""

    staff_policy: Annotated[StaffPolicy, NoDecode, BeforeValidator(_read)] = StaffPolicy.model_validate(
        _BUILT_IN
    )
