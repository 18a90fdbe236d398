"""Messages between daemons: session verification, user look-ups, mail. Never routed by the gateway."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from daemons.contracts.permissions import Permission, Role
from daemons.contracts.vocabulary import fault_of_account, fault_of_amount, fault_of_iban
from daemons.contracts.wire import AmountText, CurrencyCode, Instant, UuidText, WireModel

MOST_VERIFIED = 500
"""How many sessions, and how many API keys, one question may name."""

KeyDigest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def _payee(text: str) -> str:
    fault = fault_of_account(text) if text.isdigit() else fault_of_iban(text)
    if fault is not None:
        raise ValueError(fault)
    return text


def _limit(text: str) -> str:
    fault = fault_of_amount(text)
    if fault is not None:
        raise ValueError(fault)
    return text


_Limit = Annotated[AmountText, AfterValidator(_limit)]
_Payee = Annotated[str, AfterValidator(_payee)]


class KeyBudget(WireModel):
    """What may be paid with an API key: at once, within a day (UTC), and to whom; null leaves it open.

    Payees are account numbers, or IBANs of accounts elsewhere. Amounts are of one currency, and nothing is
    paid in another.
    """

    currency: CurrencyCode | None = None
    max_payment: _Limit | None = None
    max_day: _Limit | None = None
    payees: Annotated[list[_Payee], Field(min_length=1, max_length=100)] | None = None

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        if (self.currency is None) is not (self.max_payment is None and self.max_day is None):
            raise ValueError("a limit needs a currency, and a currency a limit")
        if self.currency is None and self.payees is None:
            raise ValueError("names neither a limit nor a payee")
        return self


class VerifyCallers(WireModel):
    """Asks user_api whose access has changed, and who stands behind some sessions and API keys."""

    after: Annotated[int, Field(ge=0)] | None
    """The last change that the asking daemon knows; None if it knows none."""

    session_ids: Annotated[list[UuidText], Field(max_length=MOST_VERIFIED)]
    key_digests: Annotated[list[KeyDigest], Field(max_length=MOST_VERIFIED)]
    """An API key itself stays where it was presented."""


class VerifiedCaller(WireModel):
    """Who a caller is now, by a session that lives or an API key that is good."""

    credential_id: UuidText
    """The session's id, or the API key's."""

    key_digest: KeyDigest | None
    """None for a session."""

    user_id: UuidText
    display_name: str
    role: Annotated[Role, Field(strict=False)]
    scopes: list[Annotated[Permission, Field(strict=False)]] | None
    """What bounds the role's permissions; None leaves them as they are."""

    budget: KeyBudget | None
    """What bounds the payments of an API key."""

    ends_at: Instant
    """When the session or the API key ends by itself, unless user_api learns of a use before."""


class VerifiedCallers(WireModel):
    """The answer; sessions that have ended and API keys that are not good are simply missing."""

    position: int
    """The number of the last change of anybody's access."""

    changed_users: list[UuidText] | None
    """Whose access has changed; None if not all changes since then are kept: nothing known counts."""

    callers: list[VerifiedCaller]


class FetchUsers(WireModel):
    """Asks user_api for up to 500 users at once."""

    ids: Annotated[list[UuidText], Field(max_length=500)]


class UserSummary(WireModel):
    """What other daemons may know of a user."""

    id: UuidText
    email: str
    display_name: str
    version: int
    """Grows with every change of the user."""


class FetchedUsers(WireModel):
    """The users found; ids that are unknown are simply missing."""

    users: list[UserSummary]


class RoleGranted(WireModel):
    """Who gave a user a role, and when."""

    by: UuidText
    at: Instant


class UserStanding(WireModel):
    """What a request for approval needs to know of who made it, and of who approves it."""

    id: UuidText
    role: Annotated[Role, Field(strict=False)]
    locked: bool
    rights_lost_at: Instant | None
    grants: list[RoleGranted]


class FetchedStandings(WireModel):
    """How the users stand now; ids that are unknown are simply missing."""

    users: list[UserStanding]


class MessageRecipient(WireModel):
    """Whom a message goes to."""

    email: str
    name: str
    user_id: UuidText | None
    """None for somebody who is no user yet."""

    language: str
    """A language tag (RFC 5646)."""


class MessageOrder(WireModel):
    """Asks the notifier to send one message; the same id is one message, however often it is ordered."""

    message_id: str
    template: str
    recipient: MessageRecipient
    values: dict[str, str]
    """What the template puts into its text. It may hold a code, so it is erased once the message is sent."""

    expires_at: Instant | None
    """After this the message is worth nothing and is not sent."""
