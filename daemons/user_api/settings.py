"""What user_api reads from its environment."""

from datetime import timedelta
from typing import Annotated, Literal, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import AnyHttpUrl, Field, SecretStr, field_validator, model_validator

from daemons.contracts.permissions import Role
from daemons.shared.approvals.policy import StaffPolicySettings
from daemons.shared.auth.keys import read_public_keys
from daemons.shared.settings import CallingSettings, KafkaSettings, StoreSettings, check_secret
from daemons.user_api.attempts.backoff import BackOff, SignInLimits
from daemons.user_api.sessions.session import SessionLimits


class UserStoreSettings(StoreSettings):
    """What the shell's verbs need: the database and how to hash."""

    mongo_database: str = "user_api"
    hashing_workers: Annotated[int, Field(ge=1, le=64)] = 2
    hashing_queue: Annotated[int, Field(ge=1)] = 64


class UserApiSettings(UserStoreSettings, CallingSettings, KafkaSettings, StaffPolicySettings):
    """What the serving daemon needs besides; the limits of a session are argued in docs/adr/0005."""

    session_hours: Annotated[float, Field(gt=0, le=24 * 30)] = 12
    session_idle_minutes: Annotated[float, Field(ge=2)] = 60
    access_token_minutes: Annotated[float, Field(gt=0, le=15)] = 10
    jwt_secret: SecretStr
    """What signs sessions and seals second factors; no other daemon has it."""

    jwt_secret_previous: SecretStr | None = None
    """The secret before this one: what was signed under it stays valid, nothing new is."""

    totp_required_roles: str = "support,operator,admin"
    """Roles, separated by commas, that may do nothing before they have a second factor; empty for none."""
    account_free_failures: Annotated[int, Field(ge=1)] = 10
    account_longest_pause_seconds: Annotated[float, Field(ge=1)] = 300
    address_free_failures: Annotated[int, Field(ge=1)] = 100
    address_longest_pause_seconds: Annotated[float, Field(ge=1)] = 60
    address_free_sign_ups: Annotated[int, Field(ge=1)] = 100
    """How many may register from one address before pauses begin, until nobody has for a day."""
    sign_up_longest_pause_seconds: Annotated[float, Field(ge=1)] = 3600
    refusals_recorded_per_minute: Annotated[int, Field(ge=1)] = 60
    """How many refused guesses a minute each process records; the next record counts the rest."""

    registration_confirmed: Literal["required", "optional"] = "required"
    """Whether nobody is a user before they have confirmed their address by a code from its mail."""
    lost_factor_wait_hours: Annotated[float, Field(ge=1, le=24 * 30)] = 72
    """How long the owner of a second factor that is reported lost can stop its removal."""
    notifier_url: AnyHttpUrl | None = None
    """Where the notifier takes messages to people; without it they are kept until they are out of date."""

    banking_api_public_keys: str = ""
    """The public keys of the daemons that may call this one, each with those that it had before, separated by
    commas: two while `SERVICE_KEY` is being replaced there, none if that daemon does not run."""
    notifier_public_keys: str = ""

    @field_validator("jwt_secret")
    @classmethod
    def _long_enough(cls, secret: SecretStr) -> SecretStr:
        return check_secret(secret)

    @field_validator("banking_api_public_keys", "notifier_public_keys")
    @classmethod
    def _public_keys(cls, text: str) -> str:
        read_public_keys(text)
        return text

    @model_validator(mode="after")
    def _mail_is_sent(self) -> Self:
        if self.registration_confirmed == "required" and self.notifier_url is None:
            raise ValueError(
                "REGISTRATION_CONFIRMED=required needs NOTIFIER_URL, where messages with codes are sent; or "
                "set it to optional"
            )
        return self

    @property
    def confirmation_required(self) -> bool:
        """Whether nobody is a user before they have confirmed their address."""
        return self.registration_confirmed == "required"

    @property
    def calling_daemons(self) -> dict[str, list[Ed25519PublicKey]]:
        """The public keys of each daemon that may call this one."""
        return {
            "banking_api": read_public_keys(self.banking_api_public_keys),
            "notifier": read_public_keys(self.notifier_public_keys),
        }

    @field_validator("jwt_secret_previous")
    @classmethod
    def _long_enough_or_absent(cls, secret: SecretStr | None) -> SecretStr | None:
        # Compose files pass an unset variable on as an empty one.
        return check_secret(secret) if secret is not None and secret.get_secret_value() else None

    @property
    def secrets(self) -> list[str]:
        """The secret that signs, then the previous one if there is one."""
        kept = [self.jwt_secret, self.jwt_secret_previous]
        return [secret.get_secret_value() for secret in kept if secret is not None]

    @field_validator("totp_required_roles")
    @classmethod
    def _known_roles(cls, names: str) -> str:
        unknown = {name.strip() for name in names.split(",")} - {"", *Role}
        if unknown:
            raise ValueError(f"knows the roles {', '.join(Role)}, not {', '.join(sorted(unknown))}")
        return names

    @property
    def second_factor_roles(self) -> frozenset[Role]:
        """The roles that need a second factor."""
        named = (name.strip() for name in self.totp_required_roles.split(","))
        return frozenset(Role(name) for name in named if name)

    @property
    def sign_in_limits(self) -> SignInLimits:
        """The back-off of an account and of an address."""
        return SignInLimits(
            account=BackOff(
                free_failures=self.account_free_failures,
                longest_pause=timedelta(seconds=self.account_longest_pause_seconds),
            ),
            address=BackOff(
                free_failures=self.address_free_failures,
                longest_pause=timedelta(seconds=self.address_longest_pause_seconds),
            ),
            sign_ups=BackOff(
                free_failures=self.address_free_sign_ups,
                longest_pause=timedelta(seconds=self.sign_up_longest_pause_seconds),
            ),
        )

    @property
    def session_limits(self) -> SessionLimits:
        """The limits of a session and of its access tokens."""
        return SessionLimits(
            lifetime=timedelta(hours=self.session_hours),
            idle=timedelta(minutes=self.session_idle_minutes),
            access=timedelta(minutes=self.access_token_minutes),
        )
