"""Amounts, currencies and accounts that there are none of."""

# ruff: noqa: RUF001, Q003, E501 - lists of characters that confuse, one list to a line
import random
from typing import Any

from tests.evidence.bad_input.draft import Catalogue, Draft, places

CLASSES = Catalogue()
HOSTILE_TEXTS = [
    "' OR 1=1 --", "\"; DROP TABLE accounts; --", "{{7*7}}", "${jndi:ldap://x}", "$(id)", "`id`", "%s%s%n",
    "../../etc/passwd", "<script>alert(1)</script>", "*)(uid=*))(|(uid=*", "\\x00", "%00", "\u202egnp.exe",
    "\ufeff", "\U0001f4a9" * 50, "a\u0301" * 80, "\u0130", "\uffff", "-0", "1e9999", "0x10", "NaN", "null",
]  # fmt: skip
BAD_AMOUNTS = [
    "0", "0.00", "-1", "-0.01", "+1", "1e2", "0x1F", "1.001", "1,00", "1 000", "", " ", ".5", "5.", "00.1",
    "9" * 19, "9" * 400, "１２", "١٢", "1_000", "∞", "1\n", "NaN", "Infinity", "1.00 EUR",
]  # fmt: skip
BAD_ACCOUNTS = [
    "1234567890", "settlement:EUR", "0", "12345", "9" * 11, "４００００００００６", "4000000006 ", "-400000000",
    "' OR 1=1", "../4000000006", "4000000006\x00", "", "null", "system", "4000000006\n",
]  # fmt: skip


@CLASSES.spoiled("hostile text in every place", "money")
def _hostile(rng: random.Random, draft: Draft) -> None:
    for holder, key in list(places(draft.fields or {})):
        if isinstance(holder[key], str):
            holder[key] = rng.choice(HOSTILE_TEXTS)


@CLASSES.spoiled("impossible amount", "money")
def _amount(rng: random.Random, draft: Draft) -> None:
    _replace(draft, "amount", rng.choice(BAD_AMOUNTS))


@CLASSES.spoiled("impossible currency", "money")
def _currency(rng: random.Random, draft: Draft) -> None:
    _replace(
        draft, "currency", rng.choice(["", "eur", "EURO", "XXX", "XAU", "QQQ", "€", "E R", "EUR\n", "ＥＵＲ"])
    )


@CLASSES.spoiled("impossible account", "transfer")
def _account(rng: random.Random, draft: Draft) -> None:
    # A withdrawal names one account only.
    names = sorted({key for _, key in places(draft.fields or {})} & {"from_account", "to_account"})
    _replace(draft, rng.choice(names), rng.choice(BAD_ACCOUNTS))


@CLASSES.spoiled("both accounts the same", "transfer")
def _same(_rng: random.Random, draft: Draft) -> None:
    source = draft.fields or {}
    row = source["transfers"][0] if "transfers" in source else source
    row["to_account"] = row["from_account"]


def _replace(draft: Draft, name: str, value: Any) -> None:
    for holder, key in list(places(draft.fields or {})):
        if key == name:
            holder[key] = value
