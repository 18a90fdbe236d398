"""Which acts need a second person: adjustments always, others as the settings say."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field
from pydantic_settings import NoDecode


class GuardedAct(StrEnum):
    """The acts that a policy can put behind a second person."""

    UNFREEZE = "unfreeze"
    FUND = "fund"
    GRANT_ADMIN = "grant_admin"
    ADJUST = "adjust"


ALWAYS_GUARDED = frozenset({GuardedAct.ADJUST})
"""What nobody does alone, whatever the settings say (docs/adr/0016)."""


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class FourEyesSettings(BaseModel):
    """`FOUR_EYES_ACTIONS=unfreeze,fund,grant_admin` and `FOUR_EYES_FUND_THRESHOLD=1000`.

    The threshold counts in major units of whatever currency is funded: up to it one person may act alone.
    """

    four_eyes_actions: Annotated[frozenset[GuardedAct], NoDecode, BeforeValidator(_split)] = frozenset()
    four_eyes_fund_threshold: Annotated[Decimal, Field(ge=0)] = Decimal(0)

    def needs_second_person(self, act: GuardedAct, *, amount: Decimal | None = None) -> bool:
        """Tell whether the policy puts this act behind a second person; `amount` is for funding."""
        below = amount is not None and amount <= self.four_eyes_fund_threshold
        return act in ALWAYS_GUARDED or (act in self.four_eyes_actions and not below)
