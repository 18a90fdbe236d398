"""What banking_api reads from its environment."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from daemons.banking_api.money import exponent_of
from daemons.shared.approvals.policy import FourEyesSettings
from daemons.shared.http.rates import Rate
from daemons.shared.settings import PeerSettings


class BankingSettings(PeerSettings, FourEyesSettings):
    """The settings of the ledger's daemon."""

    mongo_database: str = "banking_api"

    caller_rows_per_second: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 2000
    """How many rows of batches one user or API key may go on sending; 0 for no limit (docs/adr/0014)."""
    caller_rows_burst: Annotated[int, Field(ge=1)] = 40_000
    accounts_per_user: Annotated[int, Field(ge=1)] = 5000
    """How many accounts one user may ever open, closed ones included."""

    ledger_host: str = "127.0.0.1"
    """Where this process takes commands of others while it is the ledger (docs/adr/0025)."""
    ledger_port: Annotated[int, Field(ge=0, le=65_535)] = 0
    """0 for any free one: others find it by the lease."""

    @model_validator(mode="after")
    def _known_currencies(self) -> Self:
        unknown = [code for code in self.four_eyes_fund_limits if exponent_of(code) is None]
        if unknown:
            raise ValueError(f"FOUR_EYES_FUND_LIMITS: no account can be kept in {', '.join(sorted(unknown))}")
        return self

    @property
    def row_rate(self) -> Rate:
        """The limit of one caller's rows."""
        return Rate(self.caller_rows_per_second, self.caller_rows_burst)
