"""What banking_api reads from its environment."""

from daemons.shared.approvals.policy import FourEyesSettings
from daemons.shared.settings import PeerSettings


class BankingSettings(PeerSettings, FourEyesSettings):
    """The settings of the ledger's daemon."""

    mongo_database: str = "banking_api"
