"""What the routes of API keys take and answer."""

from typing import Annotated

from pydantic import Field

from daemons.contracts.internal import KeyBudget
from daemons.contracts.permissions import Permission
from daemons.contracts.vocabulary import MOST_KEY_DAYS
from daemons.contracts.wire import Instant, Name, UuidText, WireModel
from daemons.shared.approvals.views import ApprovalView
from daemons.user_api.api_keys.api_key import ApiKey
from daemons.user_api.second_factor.models import Code
from daemons.user_api.users.models import PasswordAgain


class ApiKeyRequest(PasswordAgain):
    """A key for a script: what it is for, what it may do and pay, and for how many days or until when.

    `totp` is a fresh code, for those who have a second factor.
    """

    totp: Code | None = None
    name: Name
    scopes: Annotated[list[Annotated[Permission, Field(strict=False)]], Field(min_length=1, max_length=20)]
    expires_in_days: Annotated[int, Field(ge=1, le=MOST_KEY_DAYS)] = 90
    expires_at: Instant | None = None
    budget: KeyBudget | None = None


class ApiKeyView(WireModel):
    """A key as its owner sees it; the key itself is shown only when it is made."""

    id: UuidText
    name: str
    scopes: list[Annotated[Permission, Field(strict=False)]]
    created_at: Instant
    expires_at: Instant
    last_used_at: Instant | None
    budget: KeyBudget | None

    @classmethod
    def of(cls, key: ApiKey) -> "ApiKeyView":
        """Show a key."""
        return cls(
            id=str(key.id),
            name=key.name,
            scopes=sorted(key.scopes),
            created_at=key.created_at,
            expires_at=key.expires_at,
            last_used_at=key.last_used_at,
            budget=key.budget,
        )


class ApiKeyList(WireModel):
    """The own keys that have not expired, newest first."""

    items: list[ApiKeyView]


class NewApiKey(WireModel):
    """A new key with its text, which cannot be shown again."""

    key: ApiKeyView
    token: str


class WaitingApiKey(NewApiKey):
    """A key that is good for nothing until another person has approved it."""

    approval: ApprovalView
