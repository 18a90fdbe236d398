"""What banking_api reads from its environment."""

import re
from collections.abc import Mapping
from decimal import Decimal
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from daemons.banking_api.books.checkpoints import CheckpointKeys
from daemons.banking_api.ledger.tls import StreamTls
from daemons.banking_api.money import exponent_of
from daemons.contracts.checkpoint import CheckpointKey, read_key
from daemons.shared.approvals.policy import StaffPolicySettings
from daemons.shared.auth.keys import read_private_key
from daemons.shared.http.rates import Rate
from daemons.shared.settings import PeerSettings

_AMOUNT = re.compile(r"([A-Z]{3})=([0-9]+(?:\.[0-9]+)?)")


def read_amounts(value: Any) -> Any:
    """Return the amounts of a setting, in major units by currency.

    Raises:
        ValueError: it is not a list such as `EUR=100,JPY=15000`.
    """
    if not isinstance(value, str):
        return value
    amounts: dict[str, Decimal] = {}
    for part in filter(None, map(str.strip, value.split(","))):
        found = _AMOUNT.fullmatch(part)
        if found is None or found[1] in amounts:
            raise ValueError(f"lists CURRENCY=AMOUNT, separated by commas, each currency once; not {part!r}")
        amounts[found[1]] = Decimal(found[2])
    return amounts


class BankingSettings(PeerSettings, StaffPolicySettings):
    """The settings of the ledger's daemon."""

    mongo_database: str = "banking_api"

    caller_rows_per_second: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 2000
    """How many rows of batches one user or API key may go on sending; 0 for no limit (docs/adr/0014)."""
    caller_rows_burst: Annotated[int, Field(ge=1)] = 40_000
    accounts_per_user: Annotated[int, Field(ge=1)] = 5000
    """How many accounts one user may ever open, closed ones included."""

    payment_confirmation_above: Annotated[Mapping[str, Decimal], NoDecode, BeforeValidator(read_amounts)] = {}
    """How much one person may pay within a day (UTC) without the second factor, by currency; in one that is
    not named, nothing. Empty: no payment asks for it (docs/adr/0034)."""

    ledger_host: str = "127.0.0.1"
    """Where this process takes commands of others while it is the ledger (docs/adr/0026). Beyond loopback the
    stream needs the three LEDGER_TLS files."""
    ledger_port: Annotated[int, Field(ge=0, le=65_535)] = 0
    """0 for any free one: others find it by the lease."""
    ledger_advertised_host: str = ""
    """By which name the others reach this process; LEDGER_HOST if it is empty. The certificate names it."""
    ledger_tls_cert: Path | None = None
    """This process's certificate for the stream, in PEM."""
    ledger_tls_key: Path | None = None
    """Its private key, in PEM."""
    ledger_tls_ca: Path | None = None
    """The authority that signed the certificates of all processes, in PEM."""

    checkpoint_key: SecretStr
    """The private key that signs checkpoints of the journal, or the absolute path of a file that holds it."""
    checkpoint_old_keys: str = ""
    """Public keys that have signed earlier ones, as `admin checkpoints keys` shows them, by commas."""
    checkpoint_hours: Annotated[float, Field(gt=0, le=24)] = 24
    """After which the journal's end is signed if it was not meanwhile."""
    checkpoint_folder: Path | None = None
    """A folder, best on another machine, that receives each checkpoint as a file."""

    @field_validator("checkpoint_key")
    @classmethod
    def _checkpoint_private_key(cls, given: SecretStr) -> SecretStr:
        text = given.get_secret_value()
        if text.startswith("/") and (path := Path(text)).is_file():
            text = path.read_text(encoding="utf-8").strip()
        read_private_key(text)
        return SecretStr(text)

    @field_validator("checkpoint_old_keys")
    @classmethod
    def _checkpoint_public_keys(cls, text: str) -> str:
        read_keys(text)
        return text

    def checkpoint_keys(self, bank_id: UUID) -> CheckpointKeys:
        """Return what signs checkpoints, and what has."""
        private = read_private_key(self.checkpoint_key.get_secret_value())
        return CheckpointKeys(bank_id, private, read_keys(self.checkpoint_old_keys))

    @model_validator(mode="after")
    def _known_currencies(self) -> Self:
        for name, currencies in (
            ("STAFF_POLICY", self.staff_policy.currencies()),
            ("PAYMENT_CONFIRMATION_ABOVE", set(self.payment_confirmation_above)),
        ):
            unknown = {code for code in currencies if exponent_of(code) is None}
            if unknown:
                raise ValueError(f"{name}: no account can be kept in {', '.join(sorted(unknown))}")
        return self

    @model_validator(mode="after")
    def _stream_is_private(self) -> Self:
        files = (self.ledger_tls_cert, self.ledger_tls_key, self.ledger_tls_ca)
        if any(files) and not all(files):
            raise ValueError("LEDGER_TLS_CERT, LEDGER_TLS_KEY and LEDGER_TLS_CA go together: set all three")
        if not any(files) and not (is_loopback(self.ledger_host) and is_loopback(self.ledger_address)):
            raise ValueError(
                "LEDGER_HOST and LEDGER_ADVERTISED_HOST beyond loopback need LEDGER_TLS_CERT, LEDGER_TLS_KEY "
                "and LEDGER_TLS_CA"
            )
        if is_wildcard(self.ledger_address):
            raise ValueError("LEDGER_ADVERTISED_HOST must say by which name the others reach this process")
        self.ledger_tls  # noqa: B018 - files that are at fault are named at once
        return self

    @property
    def ledger_address(self) -> str:
        """The host by which the other processes reach this one."""
        return self.ledger_advertised_host or self.ledger_host

    @property
    def ledger_tls(self) -> StreamTls | None:
        """The stream's TLS; None on loopback without files."""
        if self.ledger_tls_cert is None or self.ledger_tls_key is None or self.ledger_tls_ca is None:
            return None
        return StreamTls.read(self.ledger_tls_cert, self.ledger_tls_key, self.ledger_tls_ca)

    @property
    def row_rate(self) -> Rate:
        """The limit of one caller's rows."""
        return Rate(self.caller_rows_per_second, self.caller_rows_burst)


def read_keys(text: str) -> list[CheckpointKey]:
    """Return the public keys that a setting lists.

    Raises:
        ValueError: one of them is no key.
    """
    return [read_key(part) for part in text.split(",") if part.strip()]


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine's loopback, by address or as `localhost`."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def is_wildcard(host: str) -> bool:
    """Tell whether a host stands for every address of a machine, which nobody can call."""
    try:
        return ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return False
