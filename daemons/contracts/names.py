"""The words on the wire: what a thing can be, headers, cookies, codes. Daemons and command line import them.

It loads quickly and needs no package. How amounts, numbers and texts are spelt is in `vocabulary`, roles are
in `permissions`, the categories of errors in `errors`, Kafka's accounts in `kafka_accounts`; the command line
imports these five of the contracts.
"""

from enum import StrEnum

REQUEST_ID_HEADER = "X-Request-Id"
IDEMPOTENCY_KEY_HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotent-Replayed"
"""`true` says that this was done before, under the same idempotency key, and nothing now."""
PAYMENT_CONFIRMATION_HEADER = "Payment-Confirmation"
"""What user_api gave for a code of the second factor, for just the payment that carries it."""
FORGERY_HEADER = "X-Requested-With"
LAST_EVENT_ID_HEADER = "Last-Event-ID"
REASON_HEADER = "X-Reason"
"""Why staff read what is a customer's: percent-encoded UTF-8."""

SESSION_COOKIE = "__Host-bankctl"
REFRESH_COOKIE = "__Host-bankctl-refresh"
DEVICE_COOKIE = "__Host-bankctl-device"

JSON_LINES = "application/x-ndjson"
"""An answer of several lines of JSON: progress, then the result."""
REACHED = "reached"
"""What a stream of events says of itself: how far its reader has come, and how far the bank."""
LAGGING = "lagging"
"""The stream's reader is behind, and gets everything later."""
TOO_SLOW = "too_slow"
"""The stream ends because its reader has taken nothing for a while; it may come again at once."""


class Daemon(StrEnum):
    """The daemons, by the names that they have in logs, tokens and settings."""

    USER_API = "user_api"
    BANKING_API = "banking_api"
    NOTIFIER = "notifier"


class Code(StrEnum):
    """Codes of errors on which the command line decides what to do next; docs/api.md lists all codes."""

    NOT_SIGNED_IN = "not_signed_in"
    SESSION_ENDED = "session_ended"
    TOO_MANY_STREAMS = "too_many_streams"
    TOTP_REQUIRED = "totp_required"
    KEY_IN_USE = "idempotency_key_in_use"
    BATCH_BEFORE_NOT_SETTLED = "batch_before_not_settled"
    REASON_REQUIRED = "reason_required"
    ATOMIC_BATCH_PARTLY_KNOWN = "atomic_batch_partly_known"
    ATOMIC_BATCH_REFUSED = "atomic_batch_refused"
    PAYMENT_CONFIRMATION_REQUIRED = "payment_confirmation_required"
    PAYMENT_CONFIRMATION_REFUSED = "payment_confirmation_refused"


class AccountType(StrEnum):
    """What a customer's account is for."""

    CHECKING = "checking"
    SAVINGS = "savings"


class AccountStatus(StrEnum):
    """Customers move money on active accounts only."""

    ACTIVE = "active"
    FROZEN = "frozen"
    CLOSED = "closed"


class RecordStatus(StrEnum):
    """Completed records have entries, failed ones a failure; neither ever changes."""

    COMPLETED = "completed"
    FAILED = "failed"


class RowOutcome(StrEnum):
    """What becomes of a row of a batch: a record, or a refusal of which nothing is kept."""

    COMPLETED = "completed"
    FAILED = "failed"
    REFUSED = "refused"


ERASED_DOMAIN = "erased.invalid"
"""The domain of the addresses of erased users: it is nobody's, ever (RFC 2606)."""


class UserStatus(StrEnum):
    """A locked user cannot sign in; of an erased one only the id is left, and they do not come back."""

    ACTIVE = "active"
    LOCKED = "locked"
    ERASED = "erased"


class Direction(StrEnum):
    """Whether the account gets money or gives it."""

    CREDIT = "credit"
    DEBIT = "debit"


class ApprovalStatus(StrEnum):
    """Only a pending request can be decided; approved means carried out, both at once.

    Expired and withdrawn requests are stored as pending; time and the requester's standing show which.
    """

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


class EventType(StrEnum):
    """The types of events; each is also the name of its topic."""

    TRANSACTION_COMPLETED = "TransactionCompleted"
    TRANSACTION_FAILED = "TransactionFailed"
    ACCOUNT_FUNDED = "AccountFundedPayload"
    ACCOUNT_ADJUSTED = "AccountAdjusted"
    ACCOUNT_CHANGED = "AccountChanged"
    USER_REGISTERED = "UserRegistered"
    USER_CHANGED = "UserChanged"


class EventOrder(StrEnum):
    """Which end of the history of events comes first."""

    OLDEST_FIRST = "asc"
    NEWEST_FIRST = "desc"


class Severity(StrEnum):
    """How urgent an event is to the people who watch; `warning` is an alert: somebody should look."""

    INFO = "info"
    WARNING = "warning"


class LetterStatus(StrEnum):
    """An open dead letter waits for somebody; a replayed one has had its effect."""

    OPEN = "open"
    REPLAYED = "replayed"


class ReplayResult(StrEnum):
    """What replaying a letter came to: its event was recorded, had been already, or is still none."""

    RECORDED = "recorded"
    ALREADY_RECORDED = "already_recorded"
    UNDECODABLE = "undecodable"


class DeliveryState(StrEnum):
    """Owed and failed deliveries are still tried; sent and given-up ones are settled."""

    OWED = "owed"
    SENT = "sent"
    FAILED = "failed"
    GIVEN_UP = "given_up"


class NoticeType(StrEnum):
    """What users are told of; of their security whatever their preferences say."""

    MONEY_IN = "money_in"
    MONEY_OUT = "money_out"
    REFUSED = "refused"
    ACCOUNT_CHANGED = "account_changed"
    SECURITY = "security"


class Language(StrEnum):
    """The languages of messages to people, by their tags (RFC 5646)."""

    ENGLISH = "en"
    CZECH = "cs"


class Trail(StrEnum):
    """The trail of accounts and money, that of users, and that of events and dead letters."""

    LEDGER = "ledger"
    USERS = "users"
    EVENTS = "events"
