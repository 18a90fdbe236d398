"""Requests to pay as bytes, made at the cost of one formatting each, and what a good answer looks like."""

import json
import random
from collections.abc import Sequence
from uuid import uuid4

from tests.bench.load_plan import LoadPlan, Payer
from tests.bench.payments import CURRENCY, LARGEST_AMOUNT_MINOR

_HEAD = (
    "POST {path} HTTP/1.1\r\n"
    "Host: {host}:{port}\r\n"
    "User-Agent: bench\r\n"
    "Content-Type: application/json\r\n"
    "X-Requested-With: bench\r\n"
    "Cookie: {cookie}\r\n"
)


class Requests:
    """Makes the requests of one connection; no key is ever used twice."""

    def __init__(self, plan: LoadPlan, *, port: int, payers: Sequence[Payer]) -> None:
        self._receivers = plan.receivers
        self._rows = plan.rows_per_request
        self._key = uuid4().hex
        self._number = 0
        self._random = random.Random(self._key)  # noqa: S311 - a choice of accounts guards nothing
        path = "/transactions/transfer" if self._rows == 1 else "/transactions/batch"
        self._payers = [
            (_HEAD.format(path=path, host=plan.host, port=port, cookie=payer.cookie), payer.accounts)
            for payer in payers
        ]

    def next(self) -> bytes:
        """Return the next request."""
        head, accounts = self._payers[0] if len(self._payers) == 1 else self._random.choice(self._payers)
        if self._rows == 1:
            key, body = self._row(accounts)
            own = f"Idempotency-Key: {key}\r\n"
            body = f"{{{body}}}"
        else:
            pairs = (self._row(accounts) for _ in range(self._rows))
            rows = (f'{{"idempotency_key":"{key}",{row}}}' for key, row in pairs)
            body, own = f'{{"transfers":[{",".join(rows)}]}}', ""
        return f"{head}{own}Content-Length: {len(body)}\r\n\r\n{body}".encode("ascii")

    def _row(self, own: list[str]) -> tuple[str, str]:
        self._number += 1
        sender = receiver = self._pick(own)
        while sender == receiver:
            # Where only one is paid, it is the sender that must be another.
            sender, receiver = self._pick(own), self._pick(self._receivers)
        amount = 1 + int(self._random.random() * LARGEST_AMOUNT_MINOR)
        accounts = f'"from_account":"{sender}","to_account":"{receiver}"'
        money = f'"amount":"{amount // 100}.{amount % 100:02}","currency":"{CURRENCY}"'
        return f"{self._key}-{self._number}", f'{accounts},{money},"reference":"bench"'

    def _pick(self, accounts: list[str]) -> str:
        return accounts[int(self._random.random() * len(accounts))]


def check_answer(head: bytes, body: bytes, *, rows: int) -> None:
    """Accept nothing but payments that were completed.

    Raises:
        AssertionError: the answer is another.
    """
    good = (
        head.startswith(b"HTTP/1.1 201") and b'"status":"completed"' in body
        if rows == 1
        else head.startswith(b"HTTP/1.1 200") and body.count(b'"outcome":"completed"') == rows
    )
    if not good or b"dempotent-Replayed" in head or b'"replayed":true' in body:
        raise AssertionError(f"a payment was not completed: {(head + body)[:1000]!r}")


def transaction_of(body: bytes) -> tuple[str, str]:
    """Return id and time of a single payment."""
    found = json.loads(body)
    return found["id"], found["created_at"]
