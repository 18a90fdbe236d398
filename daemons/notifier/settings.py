"""What the notifier reads from its environment."""

from datetime import timedelta
from typing import Annotated, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import AnyHttpUrl, Field, SecretStr, field_validator

from daemons.notifier.channels.email import SmtpServer, check_sender
from daemons.notifier.channels.push import check_urls
from daemons.notifier.dead_letters.dead_letter import DeadLetterLimit
from daemons.notifier.deliveries.delivery import Patience
from daemons.notifier.streams.streams import StreamLimits
from daemons.shared.approvals.policy import StaffPolicySettings
from daemons.shared.auth.keys import read_public_keys
from daemons.shared.settings import PeerSettings


class NotifierSettings(PeerSettings, StaffPolicySettings):
    """Its database, and how many streams one process serves before it answers `overloaded`."""

    mongo_database: Annotated[str, Field(min_length=1, max_length=63)] = "notifier"
    maximum_streams: Annotated[int, Field(ge=1, le=10_000)] = 500
    maximum_streams_per_caller: Annotated[int, Field(ge=1, le=10_000)] = 10
    """How many of them one user or API key may hold open."""
    dead_letter_limit: Annotated[int, Field(ge=0, le=1_000_000)] = 100
    dead_letter_window_minutes: Annotated[int, Field(ge=1, le=7 * 24 * 60)] = 60

    smtp_host: str = ""
    """The relay that takes mail; without one no e-mail is owed."""
    smtp_port: Annotated[int, Field(ge=1, le=65535)] = 587
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_username: str = ""
    smtp_password: SecretStr = SecretStr("")
    smtp_ca_file: str = ""
    smtp_timeout_seconds: Annotated[float, Field(ge=0.1, le=300)] = 20
    smtp_connections: Annotated[int, Field(ge=1, le=100)] = 8
    mail_from: str = "bankctl <no-reply@bank.invalid>"
    public_url: AnyHttpUrl = AnyHttpUrl("https://localhost:8443")
    """Where people reach the bank: links in messages begin with it."""
    delivery_give_up_hours: Annotated[float, Field(gt=0, le=24 * 30)] = 24
    delivery_longest_pause_seconds: Annotated[float, Field(ge=1, le=86400)] = 60
    webhook_allow_loopback: bool = False
    """Whether webhooks may lead to this machine and need no TLS: for tests and the local stack."""
    webhook_disable_hours: Annotated[float, Field(gt=0, le=24 * 30)] = 24
    """How long a webhook may take nothing before it is disabled."""
    push_urls: SecretStr = SecretStr("")
    """URLs of Apprise, separated by spaces: they hold the services' passwords."""
    push_seconds: Annotated[float, Field(ge=0.1, le=300)] = 20

    @field_validator("push_urls")
    @classmethod
    def _known_services(cls, urls: SecretStr) -> SecretStr:
        check_urls(urls.get_secret_value().split())
        return urls

    user_api_public_keys: str = ""
    """The public keys of user_api, which orders messages, separated by commas: two while its `SERVICE_KEY` is
    being replaced."""

    @field_validator("user_api_public_keys")
    @classmethod
    def _public_keys(cls, text: str) -> str:
        read_public_keys(text)
        return text

    @property
    def calling_daemons(self) -> dict[str, list[Ed25519PublicKey]]:
        """The public keys of each daemon that may call this one."""
        return {"user_api": read_public_keys(self.user_api_public_keys)}

    @field_validator("mail_from")
    @classmethod
    def _address(cls, text: str) -> str:
        return check_sender(text)

    @property
    def smtp_server(self) -> SmtpServer | None:
        """The relay, None without one."""
        if not self.smtp_host:
            return None
        return SmtpServer(
            host=self.smtp_host,
            port=self.smtp_port,
            security=self.smtp_security,
            username=self.smtp_username,
            password=self.smtp_password.get_secret_value(),
            ca_file=self.smtp_ca_file,
            timeout_seconds=self.smtp_timeout_seconds,
        )

    @property
    def patience(self) -> Patience:
        """How long deliveries are tried."""
        return Patience(
            give_up_after=timedelta(hours=self.delivery_give_up_hours),
            longest_pause_seconds=self.delivery_longest_pause_seconds,
        )

    @property
    def stream_limits(self) -> StreamLimits:
        """How many streams may be open."""
        return StreamLimits(self.maximum_streams, self.maximum_streams_per_caller)

    @property
    def limit_of_dead_letters(self) -> DeadLetterLimit:
        """How many undecodable records may be set aside before the consumer stands still."""
        return DeadLetterLimit(self.dead_letter_limit, timedelta(minutes=self.dead_letter_window_minutes))
