"""What banking_api takes and answers; fields not named here are refused."""

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from daemons.contracts.events import FailureView
from daemons.contracts.vocabulary import fault_of_account
from daemons.contracts.wire import (
    CurrencyCode,
    DecimalText,
    Instant,
    MoneyView,
    Name,
    Reason,
    Reference,
    UuidText,
    WireModel,
)
from daemons.shared.http.lines import ProgressView
from daemons.shared.http.pages import PageQuery

BATCH_LIMIT = 500
CARRIED_LIMIT = 2 * BATCH_LIMIT
ATOMIC_LIMIT = 4000
"""One database transaction writes so many rows; docs/adr/0022."""
ATOMIC_BODY_BYTES = 1024 * 1024


def _check_account_number(text: str) -> str:
    if fault := fault_of_account(text):
        raise ValueError(fault)
    return text


AccountNumber = Annotated[str, Field(max_length=10), AfterValidator(_check_account_number)]
AmountText = Annotated[str, Field(max_length=27, examples=["12.34"])]
TypeName = Literal["checking", "savings"]
StatusName = Literal["active", "frozen", "closed"]
KindName = Literal["transfer", "funding", "adjustment"]
OutcomeName = Literal["completed", "failed"]
BatchOutcome = Literal["completed", "failed", "refused", "unknown"]


class BankView(WireModel):
    """Which bank this is, whatever its address, and how many rows a batch, or an atomic one, may have."""

    bank_id: UuidText
    batch_limit: int
    atomic_limit: int


class OpenAccount(WireModel):
    """Opens an account of the caller's."""

    type: TypeName
    currency: CurrencyCode
    name: Name | None = None


class AccountView(WireModel):
    """An account as its owner and the staff see it."""

    id: str
    owner_id: UuidText
    name: str | None
    type: TypeName
    status: StatusName
    balance: MoneyView
    opened_at: Instant
    status_reason: str | None


class AccountPage(WireModel):
    """Accounts, newest first."""

    items: list[AccountView]
    next_cursor: str | None


class AccountQuery(PageQuery):
    """`scope=all` and `owner_id` are for those who may read any account."""

    scope: Literal["own", "all"] = "own"
    status: StatusName | None = None
    owner_id: UuidText | None = None


class BalanceView(WireModel):
    """A balance, with the account's number it is as of: its entries and changes take one each."""

    account_id: str
    balance: MoneyView
    status: StatusName
    sequence: int
    as_of: Instant


class ReasonGiven(WireModel):
    """The operator's reason; stored with the account and published in the event."""

    reason: Reason


class OptionalReason(WireModel):
    """Why an account is closed, if there is anything to say."""

    reason: Reason | None = None


class NewType(WireModel):
    """What an account is to become."""

    type: TypeName


class FundAccount(WireModel):
    """Money that has come in from outside the bank."""

    amount: AmountText
    currency: CurrencyCode
    reference: Reference | None = None


class AdjustAccount(WireModel):
    """A correction of an account's balance by the bank; the account's owner reads the reason."""

    direction: Literal["credit", "debit"]
    amount: AmountText
    currency: CurrencyCode
    reason: Annotated[Reason, Field(max_length=140)]
    corrects: UuidText | None = None


class TransferRequest(WireModel):
    """Moves money from an account of the caller's."""

    from_account: Annotated[AccountNumber, Field(examples=["4119038413"])]
    to_account: Annotated[AccountNumber, Field(examples=["4670508035"])]
    amount: AmountText
    currency: CurrencyCode
    reference: Reference | None = None

    @field_validator("to_account")
    @classmethod
    def _another_account(cls, to_account: str, info: ValidationInfo) -> str:
        if to_account == info.data.get("from_account"):
            raise ValueError("must be another account than from_account")
        return to_account


RowKey = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,128}$")]


class BatchRow(TransferRequest):
    """One transfer of a batch, with the key that makes it safe to send again."""

    idempotency_key: RowKey


# Each is read by itself, so that one which is malformed is refused alone.
Row = Annotated[dict[str, object], WithJsonSchema(BatchRow.model_json_schema())]


class TransferBatch(WireModel):
    """Many transfers; each row is checked and settled on its own, or with `atomic` all of them or none.

    `after` is the key of the last row of a batch that was sent before: nothing of this one is done unless all
    of that is settled.
    """

    atomic: bool = False
    transfers: Annotated[list[Row], Field(min_length=1, max_length=ATOMIC_LIMIT)]
    after: RowKey | None = None

    @field_validator("transfers")
    @classmethod
    def _not_too_many(
        cls, transfers: list[dict[str, object]], info: ValidationInfo
    ) -> list[dict[str, object]]:
        if len(transfers) > BATCH_LIMIT and not info.data.get("atomic"):
            raise ValueError(f"a batch has at most {BATCH_LIMIT} rows, an atomic one {ATOMIC_LIMIT}")
        return transfers


class BatchPreview(WireModel):
    """Rows of a batch to be looked at; nothing is paid.

    `carried` is what the rows before these do to the caller's accounts: what the answer to them said.
    """

    transfers: Annotated[list[Row], Field(min_length=1, max_length=BATCH_LIMIT)]
    carried: Annotated[
        dict[AccountNumber, DecimalText], Field(default_factory=dict, max_length=CARRIED_LIMIT)
    ]


class TransactionView(WireModel):
    """A journal transaction; the bank's own side of it (outside, adjustments) is null."""

    id: UuidText
    kind: KindName
    status: OutcomeName
    amount: MoneyView
    from_account: str | None
    to_account: str | None
    reference: str | None
    corrects: UuidText | None
    failure: FailureView | None
    initiated_by: UuidText
    created_at: Instant


class TransactionPage(WireModel):
    """Transactions, newest first."""

    items: list[TransactionView]
    next_cursor: str | None


class TransactionQuery(PageQuery):
    """`scope=all` is for those who may read any account."""

    scope: Literal["own", "all"] = "own"
    status: OutcomeName | None = None


class BatchResult(WireModel):
    """What became of one row: completed; failed (kept, a rule refused); refused (not kept); unknown.

    No row of an atomic batch fails: those that would are refused with their reasons, all others with them.

    `transaction` is null if the caller prefers `return=minimal`; its id is not.
    """

    index: int
    idempotency_key: str | None
    outcome: BatchOutcome
    replayed: bool
    transaction_id: UuidText | None
    transaction: TransactionView | None
    problem: dict[str, object] | None


class BatchResults(WireModel):
    """The rows' results in the rows' order."""

    results: list[BatchResult]


class CounterpartyView(WireModel):
    """The other side of a statement line."""

    account_id: str
    display_name: str | None


class StatementLineView(WireModel):
    """One line of a statement; the amount is signed as this account sees it."""

    transaction_id: UuidText
    kind: KindName
    status: OutcomeName
    amount: DecimalText
    currency: CurrencyCode
    balance_after: DecimalText | None
    sequence: int | None
    counterparty: CounterpartyView | None
    reference: str | None
    failure: FailureView | None
    created_at: Instant


class StatementPage(WireModel):
    """A statement, newest line first."""

    items: list[StatementLineView]
    next_cursor: str | None


class PreviewSender(WireModel):
    """The paying side of a preview; `balance_after` is null if the transfer would fail."""

    account_id: str
    display_name: str | None
    balance: MoneyView
    balance_after: MoneyView | None


class PreviewView(WireModel):
    """What a transfer would do now."""

    sender: Annotated[PreviewSender, Field(alias="from")]
    receiver: Annotated[CounterpartyView, Field(alias="to")]
    amount: MoneyView
    outcome: OutcomeName
    failure: FailureView | None


class PreviewRowSender(WireModel):
    """The paying side of a row; `balance_after` is null unless the row would be completed now."""

    account_id: str
    display_name: str | None
    balance_after: MoneyView | None


class PreviewRow(WireModel):
    """What would become of one row; if its key was used before, what became of it then, and when.

    A malformed row has no parties.
    """

    index: int
    idempotency_key: str | None
    outcome: Literal["completed", "failed", "refused"]
    replayed: bool
    sender: Annotated[PreviewRowSender | None, Field(alias="from")]
    receiver: Annotated[CounterpartyView | None, Field(alias="to")]
    transaction_id: UuidText | None
    settled_at: Instant | None
    problem: dict[str, object] | None


class BatchPreviewView(WireModel):
    """What would become of the rows, in their order; `carried` is to be sent with the rows behind them."""

    results: list[PreviewRow]
    carried: dict[str, DecimalText]


class CurrencyProof(WireModel):
    """One currency: `sum_minor` is zero when the books are right."""

    currency: CurrencyCode
    sum_minor: str
    accounts: int
    entries: int


class MismatchView(WireModel):
    """What contradicts the entries."""

    id: str
    problem: str


class EventSetView(WireModel):
    """Count and order-independent digest of a set of event ids; compare with the notifier's."""

    count: int
    digest: str


class ProofView(WireModel):
    """The books, proved from the entries as of one moment."""

    holds: bool
    currencies: list[CurrencyProof]
    accounts: int
    journal_transactions: int
    completed: int
    failed: int
    mismatch_count: int
    mismatches: list[MismatchView]
    outbox_pending: int
    events: EventSetView


class ProofLine(WireModel):
    """One line: progress, or as the last one the result or the problem."""

    progress: ProgressView | None = None
    result: ProofView | None = None
    problem: dict[str, object] | None = None


class RelayView(WireModel):
    """Who publishes: the holder of a living lease; `failure` is of the process that answered."""

    lease_holder: UuidText | None
    lease_until: Instant | None
    failure: str | None


class Republication(WireModel):
    """Transactions whose events are to go out again, and why; kept in the audit trail."""

    transaction_ids: Annotated[list[UuidText], Field(min_length=1, max_length=500)]
    reason: Reason


class RepublicationView(WireModel):
    """How many events will be published again under their old ids; `unknown` ids are not in the journal."""

    events: int
    unknown: list[UuidText]


class LostEvents(WireModel):
    """Events that Kafka has and the database does not, given up as lost, and why; kept in the audit trail."""

    event_ids: Annotated[list[UuidText], Field(min_length=1, max_length=500)]
    reason: Reason


class LostEventsView(WireModel):
    """Which events are given up as lost now; the database knows the others, or they were given up before."""

    given_up: list[UuidText]


class UnknownEventView(WireModel):
    """An event that was published, and that the database does not know."""

    event_id: UuidText
    type: str
    time: str


class OutboxView(WireModel):
    """What was committed and waits to be published.

    `unknown_events` tells, at the process that publishes, that an older copy of the database is served.
    """

    pending_events: int
    pending_commits: int
    oldest_at: Instant | None
    oldest_age_seconds: float | None
    unknown_events: list[UnknownEventView]
    relay: RelayView
