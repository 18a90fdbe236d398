"""What every daemon reads from its environment. All faults are reported at once, secrets never printed."""

import sys
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import AnyHttpUrl, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from daemons.shared.auth.keys import read_private_key
from daemons.shared.auth.service_tokens import ServiceTokenSigner, ServiceTokenVerifier
from daemons.shared.http.rates import Rate
from daemons.shared.kafka.connection import KafkaAccount, KafkaCluster
from daemons.shared.user_cache import UserCache

MINIMUM_SECRET_BYTES = 32
EXIT_BAD_SETTINGS = 2

SettingsT = TypeVar("SettingsT", bound=BaseSettings)
ValueT = TypeVar("ValueT")


def check_secret(secret: SecretStr) -> SecretStr:
    """Return the secret if it is long enough to derive keys from.

    Raises:
        ValueError: it is too short; the message says how to make one.
    """
    if len(secret.get_secret_value().encode()) < MINIMUM_SECRET_BYTES:
        raise ValueError(
            f"must have at least {MINIMUM_SECRET_BYTES} bytes; make one with: "
            'python3 -c "import secrets; print(secrets.token_urlsafe(48))"'
        )
    return secret


def parse_networks(text: str) -> list[IPv4Network | IPv6Network]:
    """Return the networks of a list such as `10.89.7.0/24, fd00::/64`.

    Raises:
        ValueError: one of them is not a network.
    """
    return [ip_network(part.strip()) for part in text.split(",") if part.strip()]


class StoreSettings(BaseSettings):
    """What is needed to reach a daemon's own database."""

    model_config = SettingsConfigDict(extra="ignore", hide_input_in_errors=True)

    mongo_uri: str
    log_level: str = "info"
    log_format: str = "json"


class DaemonSettings(StoreSettings):
    """What a serving daemon needs: where to listen, besides the store."""

    port: Annotated[int, Field(ge=1, le=65535)]
    host: str = "127.0.0.1"
    gateway_networks: str = ""
    """Networks (CIDR, separated by commas) whose X-Forwarded-For is believed; loopback always is."""

    idle_seconds: Annotated[float, Field(ge=0.1, le=3600)] = 75
    """How long a connection may wait for the end of its next request's header. Longer than the gateway keeps
    connections of its own, so that none is closed while it sends."""
    body_seconds: Annotated[float, Field(ge=0.1, le=3600)] = 10
    """How long the body of a request may take; the gateway sends bodies once they are whole."""
    maximum_connections: Annotated[int, Field(ge=1)] = 800
    """How many connections are open at once; files of the database and Kafka come on top."""

    caller_requests_per_second: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 500
    """What one user or API key may go on sending; 0 for no limit (docs/adr/0014)."""
    caller_requests_burst: Annotated[int, Field(ge=1)] = 1000
    address_requests_per_second: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 100
    """What one address may go on sending without being signed in; 0 for no limit."""
    address_requests_burst: Annotated[int, Field(ge=1)] = 1000

    @field_validator("gateway_networks")
    @classmethod
    def _networks(cls, text: str) -> str:
        parse_networks(text)
        return text

    @property
    def caller_rate(self) -> Rate:
        """The limit of one user or API key."""
        return Rate(self.caller_requests_per_second, self.caller_requests_burst)

    @property
    def address_rate(self) -> Rate:
        """The limit of one address, for requests without a caller."""
        return Rate(self.address_requests_per_second, self.address_requests_burst)


class KafkaSettings(BaseSettings):
    """Where Kafka is and as whom to talk to it."""

    model_config = SettingsConfigDict(extra="ignore", hide_input_in_errors=True)

    kafka_broker: str
    kafka_security: Literal["plaintext", "sasl_plaintext", "sasl_ssl"] = "plaintext"
    kafka_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = "SCRAM-SHA-512"
    kafka_username: str = ""
    kafka_password: SecretStr = SecretStr("")

    @field_validator("kafka_username", "kafka_password")
    @classmethod
    def _with_security_only(cls, given: ValueT, info: ValidationInfo) -> ValueT:
        text = given.get_secret_value() if isinstance(given, SecretStr) else str(given)
        security = info.data.get("kafka_security")
        if security == "plaintext" and text:
            raise ValueError("would not be used: set KAFKA_SECURITY to sasl_plaintext or sasl_ssl as well")
        if security in {"sasl_plaintext", "sasl_ssl"} and not text:
            raise ValueError(f"is needed with KAFKA_SECURITY={security}")
        return given

    @property
    def kafka(self) -> KafkaCluster:
        """The brokers and the account."""
        if self.kafka_security == "plaintext":
            return KafkaCluster(self.kafka_broker)
        account = KafkaAccount(
            security=self.kafka_security,
            mechanism=self.kafka_mechanism,
            username=self.kafka_username,
            password=self.kafka_password.get_secret_value(),
        )
        return KafkaCluster(self.kafka_broker, account)


class CallingSettings(DaemonSettings):
    """A daemon that calls another one."""

    service_key: SecretStr
    """The private key that proves to the other daemons which one this is (docs/adr/0005)."""

    @field_validator("service_key")
    @classmethod
    def _private_key(cls, text: SecretStr) -> SecretStr:
        read_private_key(text.get_secret_value())
        return text

    def own_tokens(self, name: str) -> ServiceTokenVerifier:
        """Return what checks calls of this daemon's other processes: they have the same key."""
        return ServiceTokenVerifier(name, {name: [self._service_private_key().public_key()]})

    def _service_private_key(self) -> Ed25519PrivateKey:
        return read_private_key(self.service_key.get_secret_value())

    def service_tokens(self, name: str) -> ServiceTokenSigner:
        """Return what signs this daemon's calls to the others."""
        return ServiceTokenSigner(name, self._service_private_key())


class PeerSettings(CallingSettings, KafkaSettings):
    """A daemon that asks user_api about sessions and takes part in Kafka."""

    user_api_url: AnyHttpUrl
    cache_uri: SecretStr = SecretStr("")
    """The cache of users (`valkey://` or `valkeys://`, with its password); empty for none."""

    @field_validator("cache_uri")
    @classmethod
    def _cache_address(cls, uri: SecretStr) -> SecretStr:
        text = uri.get_secret_value()
        if text and not text.startswith(("valkey://", "valkeys://", "unix://")):
            raise ValueError("must begin with valkey://, valkeys:// or unix://")
        return uri

    @property
    def user_cache(self) -> UserCache | None:
        """A new connection to the cache of users, None without one."""
        uri = self.cache_uri.get_secret_value()
        return UserCache(uri) if uri else None


def load_settings(cls: type[SettingsT]) -> SettingsT:
    """Read the environment, or exit with status 2 after naming every variable at fault and why."""
    try:
        return cls()
    except ValidationError as error:
        print("The environment does not configure this daemon:", file=sys.stderr)  # noqa: T201 - no logger yet
        for fault in error.errors(include_input=False, include_url=False):
            variable, *inside = [str(part) for part in fault["loc"]] or [""]
            name = ".".join([variable.upper(), *inside])
            print(f"  {name}: {fault['msg']}", file=sys.stderr)  # noqa: T201 - no logger yet
        raise SystemExit(EXIT_BAD_SETTINGS) from None
