"""The three daemons as processes of this machine, configured by environment alone."""

import os
import sys
from collections.abc import Mapping

from bankctl.local import ports
from bankctl.local.part import EXIT_BAD_SETTINGS, Part
from daemons.contracts.names import Daemon

DAEMONS = tuple(daemon.value for daemon in Daemon)
_TUNABLES = (
    *(
        "LOG_",
        "GATEWAY_NETWORKS",
        "CALLER_",
        "ADDRESS_",
        "ACCOUNT_",
        "ACCOUNTS_PER_USER",
        "PAYMENT_CONFIRMATION_ABOVE",
        "CHECKPOINT_OLD_KEYS",
        "CHECKPOINT_HOURS",
        "CHECKPOINT_FOLDER",
        "ACCESS_TOKEN_",
        "LEDGER_",
    ),
    *(
        "SESSION_",
        "SIGN_UP_",
        "HASHING_",
        "TOTP_REQUIRED_",
        "REFUSALS_",
        "DEAD_LETTER_",
        "DELIVERY_",
        "LOST_FACTOR_",
        "MAXIMUM_",
    ),
    *("IDLE_SECONDS", "BODY_SECONDS", "SMTP_", "MAIL_FROM", "PUBLIC_URL", "WEBHOOK_", "PUSH_", "CACHE_"),
)
"""Prefixes of the settings that `dev up` passes on to the daemons; nothing else of its environment is."""


def daemon_environment(
    daemon: str,
    numbers: Mapping[str, int],
    *,
    mongo_uri: str,
    kafka: Mapping[str, str],
    secrets: Mapping[str, str],
    mail: Mapping[str, str],
    cache: Mapping[str, str],
    policy: Mapping[str, str],
) -> dict[str, str]:
    """All a daemon needs to run, as environment variables."""
    return {
        **{name: os.environ[name] for name in sorted(os.environ) if name.startswith(_TUNABLES)},
        "HOST": ports.LOOPBACK,
        "PORT": str(numbers[daemon]),
        **({"LEDGER_PORT": str(numbers["ledger"])} if daemon == "banking_api" else {}),
        "MONGO_URI": mongo_uri,
        "MONGO_DATABASE": daemon,
        **kafka,
        **secrets,
        **mail,
        **cache,
        **policy,
        # A bank on one's own machine is for trying out; production asks staff for a second factor, and
        # everybody to confirm their address.
        "TOTP_REQUIRED_ROLES": os.environ.get("TOTP_REQUIRED_ROLES", ""),
        # Receivers that are tried out run here as well.
        "WEBHOOK_ALLOW_LOOPBACK": os.environ.get("WEBHOOK_ALLOW_LOOPBACK", "true"),
        "REGISTRATION_CONFIRMED": os.environ.get("REGISTRATION_CONFIRMED", "optional"),
        "USER_API_URL": f"http://{ports.LOOPBACK}:{numbers['user_api']}",
        **(
            {"NOTIFIER_URL": f"http://{ports.LOOPBACK}:{numbers['notifier']}"} if daemon == "user_api" else {}
        ),
    }


def daemon_part(daemon: str, port: int, environment: Mapping[str, str], *, after: tuple[str, ...]) -> Part:
    """The part that runs one daemon."""
    return Part(
        name=daemon,
        port=port,
        command=[sys.executable, "-m", f"daemons.{daemon}"],
        environment={**environment, "PYTHONUNBUFFERED": "1"},
        after=after,
        ready_url=f"http://{ports.LOOPBACK}:{port}/readyz",
        bad_settings_status=EXIT_BAD_SETTINGS,
        stop_seconds=20.0,
        stop_rank=0,
    )
