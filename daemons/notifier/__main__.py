"""`python -m daemons.notifier`: serve until SIGTERM."""

from daemons.notifier.app import DAEMON, build
from daemons.notifier.settings import NotifierSettings
from daemons.shared.http.server import serve
from daemons.shared.logs import configure_logs
from daemons.shared.settings import load_settings


def main() -> None:
    """Read the environment and serve."""
    settings = load_settings(NotifierSettings)
    configure_logs(DAEMON, level=settings.log_level, form=settings.log_format)
    serve(build(settings), settings)


if __name__ == "__main__":
    main()
