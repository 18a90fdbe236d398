"""What the routes of checkpoints and receipts take and answer; fields not named here are refused."""

from typing import Annotated

from pydantic import Field

from daemons.contracts.checkpoint import LARGEST_NOTE
from daemons.contracts.wire import Instant, UuidText, WireModel
from daemons.shared.http.pages import FROM_DIGITS

Size = Annotated[int, Field(ge=0, le=2**63 - 1), FROM_DIGITS]
HashText = Annotated[str, Field(max_length=44, examples=["47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="])]
BytesText = Annotated[str, Field(examples=["AAAA"])]
"""Bytes in base64."""
NoteText = Annotated[str, Field(max_length=LARGEST_NOTE)]


class CheckpointView(WireModel):
    """What the bank has signed of its journal; `size` counts seals. The note is what others can check."""

    number: int
    size: int
    made_at: Instant
    proved: bool
    note: NoteText


class CheckpointPage(WireModel):
    """Some checkpoints, newest first."""

    items: list[CheckpointView]
    next_cursor: str | None


class CheckpointKeysView(WireModel):
    """The public keys that sign checkpoints or have signed them; the first one signs now."""

    keys: list[str]


class ConsistencyQuery(WireModel):
    """`?older=&newer=`: two sizes of the journal, in seals."""

    older: Size
    newer: Size


class ConsistencyView(WireModel):
    """Shows that the journal of one size is the beginning of that of another (RFC 9162, section 2.1.4)."""

    older: int
    newer: int
    path: list[HashText]


class InclusionView(WireModel):
    """Shows that a leaf is in a tree (RFC 9162, section 2.1.3)."""

    index: int
    size: int
    path: list[HashText]


class ReceiptRequest(WireModel):
    """`since`: the size of a checkpoint that one holds, to be shown that the bank's follows from it."""

    since: Annotated[int, Field(ge=1, le=2**63 - 1)] | None = None


class RecordView(WireModel):
    """A record as it is stored, in three parts that follow one another: bytes of BSON, in base64.

    Who may see all of the accounts gets the entries; everybody gets their hash.
    """

    before: BytesText
    entries: BytesText | None
    entries_hash: HashText
    after: BytesText


class ReceiptView(WireModel):
    """A transaction, that its seal is over it, that the checkpoint is over the seal, and the checkpoint."""

    format: str
    transaction_id: UuidText
    record: RecordView
    record_inclusion: InclusionView
    seal: BytesText
    seal_inclusion: InclusionView
    checkpoint: NoteText
    consistency: ConsistencyView | None
