"""`python -m daemons.banking_api`: serve the bank's accounts and transactions."""

from daemons.banking_api.app import build
from daemons.banking_api.settings import BankingSettings
from daemons.shared.http.server import serve
from daemons.shared.logs import configure_logs
from daemons.shared.settings import load_settings


def main() -> None:
    """Read the settings and serve until stopped."""
    settings = load_settings(BankingSettings)
    configure_logs("banking_api", level=settings.log_level, form=settings.log_format)
    serve(build(settings), settings)


if __name__ == "__main__":
    main()
