"""What banking_api reads from its environment."""

from typing import Self

from pydantic import model_validator

from daemons.banking_api.domain.money import exponent_of
from daemons.shared.approvals.policy import FourEyesSettings
from daemons.shared.settings import PeerSettings


class BankingSettings(PeerSettings, FourEyesSettings):
    """The settings of the ledger's daemon."""

    mongo_database: str = "banking_api"

    @model_validator(mode="after")
    def _known_currencies(self) -> Self:
        unknown = [code for code in self.four_eyes_fund_limits if exponent_of(code) is None]
        if unknown:
            raise ValueError(f"FOUR_EYES_FUND_LIMITS: no account can be kept in {', '.join(sorted(unknown))}")
        return self
