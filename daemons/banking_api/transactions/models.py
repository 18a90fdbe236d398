"""What the routes of transactions take and answer; fields not named here are refused."""

from typing import Annotated, Literal

from pydantic import (
    Field,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from daemons.banking_api.kinds.table import TRANSACTION_KINDS, KindDetails
from daemons.contracts.events.contract import FailureView
from daemons.contracts.names import RecordStatus, RowOutcome
from daemons.contracts.vocabulary import BATCH_LIMIT, CARRIED_LIMIT, IDEMPOTENCY_KEY_PATTERN
from daemons.contracts.wire import (
    AccountNumber,
    AmountText,
    CurrencyCode,
    DecimalText,
    Instant,
    MoneyView,
    Reference,
    UuidText,
    WireModel,
)
from daemons.shared.http.pages import PageQuery

ATOMIC_LIMIT = 4000
"""One database transaction writes so many rows; docs/adr/0022."""
ATOMIC_BODY_BYTES = 1024 * 1024


KindName = Annotated[str, WithJsonSchema({"type": "string", "enum": TRANSACTION_KINDS})]
OutcomeName = Annotated[RecordStatus, Field(strict=False)]
BatchOutcome = Literal["completed", "failed", "refused", "unknown"]


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


RowKey = Annotated[str, StringConstraints(pattern=IDEMPOTENCY_KEY_PATTERN)]


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


class TransactionView(KindDetails):
    """A journal transaction; the bank's own side of it (outside, adjustments) is null.

    `description` says what kind, accounts and reference do not.
    """

    id: UuidText
    kind: KindName
    status: OutcomeName
    amount: MoneyView
    from_account: str | None
    to_account: str | None
    reference: str | None
    description: str | None
    failure: FailureView | None
    initiated_by: UuidText
    created_at: Instant


class FollowUpView(WireModel):
    """A later transaction that takes back or corrects an earlier one."""

    id: UuidText
    kind: KindName
    amount: MoneyView
    created_at: Instant


class TransactionInFull(TransactionView):
    """A transaction, how much of it was taken back, and by which later ones that concern the reader."""

    taken_back: MoneyView
    follow_ups: list[FollowUpView]


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
    """The other side of a statement line; an account elsewhere is named by its IBAN."""

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
    description: str | None
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
    outcome: Annotated[RowOutcome, Field(strict=False)]
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
