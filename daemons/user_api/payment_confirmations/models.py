"""What the route of confirmations takes and answers."""

from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

from daemons.contracts.vocabulary import CONFIRMED_LIMIT, IDEMPOTENCY_KEY_PATTERN
from daemons.contracts.wire import (
    AccountNumber,
    AmountText,
    CurrencyCode,
    DecimalText,
    Iban,
    Instant,
    Name,
    WireModel,
)
from daemons.user_api.second_factor.models import Code

_MOST_CURRENCIES = 50
_SHOWN_OF_IBAN = 4


class ConfirmedBeneficiary(WireModel):
    """Who gets the money, and on which account elsewhere."""

    name: Name
    iban: Iban


class ConfirmedPayment(WireModel):
    """A transfer (`to_account`) or a withdrawal (`beneficiary`), written as it is ordered."""

    idempotency_key: Annotated[str, StringConstraints(pattern=IDEMPOTENCY_KEY_PATTERN)]
    from_account: AccountNumber
    to_account: AccountNumber | None = None
    beneficiary: ConfirmedBeneficiary | None = None
    amount: AmountText
    currency: CurrencyCode

    @model_validator(mode="after")
    def _one_payee(self) -> Self:
        if (self.to_account is None) is (self.beneficiary is None):
            raise ValueError("has to_account or beneficiary")
        return self

    def audit_fields(self) -> dict[str, Any]:
        """Return what the audit keeps, with the ends of an IBAN only: all staff may read it."""
        payee = self.to_account
        if self.beneficiary is not None:
            iban = self.beneficiary.iban
            payee = f"{self.beneficiary.name} ({iban[:_SHOWN_OF_IBAN]}…{iban[-_SHOWN_OF_IBAN:]})"
        return {"from": self.from_account, "to": payee, "amount": self.amount, "currency": self.currency}


class ConfirmedBatch(WireModel):
    """A batch by the digest of its rows (`batch_digest`), with how many they are and their sums."""

    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    rows: Annotated[int, Field(ge=1)]
    totals: Annotated[dict[CurrencyCode, DecimalText], Field(min_length=1, max_length=_MOST_CURRENCIES)]

    def audit_fields(self) -> dict[str, Any]:
        """Return what the audit keeps."""
        return {"digest": self.digest, "rows": self.rows, "totals": dict(self.totals)}


class ConfirmPayments(WireModel):
    """Asks for confirmations of payments or of batches; `totp` is a fresh code of the second factor."""

    payments: Annotated[
        list[ConfirmedPayment | ConfirmedBatch], Field(min_length=1, max_length=CONFIRMED_LIMIT)
    ]
    totp: Code | None = None


class PaymentConfirmationList(WireModel):
    """A confirmation of each payment, in their order: what its request carries in Payment-Confirmation."""

    confirmations: list[str]
    expires_at: Instant
