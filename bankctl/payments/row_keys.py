"""What tells the rows of a run from one another: their identities, and the idempotency keys that follow."""

import hashlib
import uuid

from bankctl.payments.orders import Order

# The namespace of the keys below; changing it would pay every file once more.
_KEY_NAMESPACE = uuid.UUID("6f0c7f0e-9f0f-5d8e-8f4e-6d1c2a5b7e90")
# The two highest bits of this digit say that it is a UUID of RFC 9562.
_VARIANTS = {f"{digit:x}": f"{digit & 0b0011 | 0b1000:x}" for digit in range(16)}
# No cell that is sent has it: it cannot be printed.
_BETWEEN = "\x1f"


def content_of(request: dict[str, str]) -> str:
    """What a row asks for, as one text: equal payments have equal contents, `1.50` and `1.5` alike."""
    amount = request["amount"]
    if "." in amount:
        amount = amount.rstrip("0").rstrip(".")
    reference = request.get("reference", "")
    sender, receiver, currency = request["from_account"], request["to_account"], request["currency"]
    return f"{sender}\x1f{receiver}\x1f{amount}\x1f{currency}\x1f{reference}"


class RowKeys:
    """Identities of the rows of one run, for one reading of its file from the start.

    A row is known by what it asks for and by its occurrence among equal rows, or by the cell of its key
    column alone. Neither its line nor the rows around it matter, so mending one row leaves all others what
    they were. Each identity is the UUID version 5 (RFC 9562) of what identifies bank, user, run and row; what
    is common to all rows is hashed once. It is the idempotency key of the row's first attempt.
    """

    def __init__(self, *, bank_id: str, user_id: str, run_name: str) -> None:
        common = f"{bank_id}\n{user_id}\n{run_name}\n".encode(errors="surrogateescape")
        self._common = hashlib.sha1(_KEY_NAMESPACE.bytes + common, usedforsecurity=False)
        self._occurrences: dict[str, int] = {}

    def row(self, order: Order) -> str:
        """The identity of the next row, which can be sent."""
        if order.key is not None:
            return self._uuid(f"key{_BETWEEN}{order.key}".encode(errors="surrogateescape"))
        content = content_of(order.request)
        before = self._occurrences.get(content)
        if before is None:
            self._occurrences[content] = 1
        else:
            self._occurrences[content] = before + 1
            content = f"{content}{_BETWEEN}{before + 1}"
        return self._uuid(content.encode())

    def _uuid(self, text: bytes) -> str:
        row = self._common.copy()
        row.update(text)
        digits = row.hexdigest()
        variant = _VARIANTS[digits[16]]
        return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def attempt_key(row: str, attempt: int) -> str:
    """The idempotency key of an attempt to pay the row.

    The bank keeps a failed attempt under its key for good, so the next one needs a key of its own. It is made
    only when the one before is known to have moved nothing: of all attempts at most one pays.
    """
    return row if attempt == 1 else str(uuid.uuid5(_KEY_NAMESPACE, f"{row}{_BETWEEN}{attempt}"))
