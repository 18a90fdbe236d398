"""The errors every daemon answers with.

    BankError
    ├── InvalidRequestError      the request is malformed; repeating it cannot help
    ├── UnauthenticatedError     nobody is signed in, or not any more
    ├── ForbiddenError           the caller may not do this
    ├── NotFoundError            no such thing, or not visible to the caller
    ├── ConflictError            the present state does not allow it
    ├── RejectedError            a business rule refuses it
    ├── TransientError           try again later, nothing was changed
    └── OutcomeUnknownError      it may or may not have happened; retry with the same idempotency key

Whether an error may be retried is its class, never its text. The domain raises these and knows no HTTP;
`daemons.shared.http.problems` maps a category to a status, the command line maps it to an exit status.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar


class Category(StrEnum):
    """What kind of answer an error is; stable, part of the wire format."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    REJECTED = "rejected"
    TRANSIENT = "transient"
    OUTCOME_UNKNOWN = "outcome_unknown"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One faulty field of a request: its path (`transfers.3.amount`) and what is wrong with it."""

    field: str
    message: str


class BankError(Exception):
    """An error with a stable code. `details` is public: it is sent to the caller as it is.

    `replayed`: it is the kept outcome of an earlier request under the same idempotency key.
    """

    category: ClassVar[Category] = Category.INTERNAL

    def __init__(
        self,
        code: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        errors: Sequence[FieldError] = (),
        retry_after_seconds: int | None = None,
        replayed: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = dict(details or {})
        self.errors = tuple(errors)
        self.retry_after_seconds = retry_after_seconds
        self.replayed = replayed


class InvalidRequestError(BankError):
    """The request is malformed; `errors` names each field at fault."""

    category = Category.INVALID


class UnauthenticatedError(BankError):
    """Nobody is signed in, the credentials are wrong, or the session has ended."""

    category = Category.UNAUTHENTICATED


class ForbiddenError(BankError):
    """The caller is known and may not do this."""

    category = Category.FORBIDDEN


class NotFoundError(BankError):
    """It does not exist, or the caller may not see it."""

    category = Category.NOT_FOUND


class ConflictError(BankError):
    """The present state of the thing does not allow the act."""

    category = Category.CONFLICT


class RejectedError(BankError):
    """A business rule refuses the act; no money has moved."""

    category = Category.REJECTED


class TransientError(BankError):
    """The act was not done and may be tried again later."""

    category = Category.TRANSIENT


class OutcomeUnknownError(BankError):
    """The act may have been done; a retry with the same idempotency key settles it."""

    category = Category.OUTCOME_UNKNOWN
