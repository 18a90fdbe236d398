"""Fields with values of another type, fields too many and too few."""

import json
import random
from typing import Any

from tests.evidence.bad_input.draft import Catalogue, Draft, json_of

CLASSES = Catalogue()
OPERATORS: list[Any] = [
    {"$ne": None}, {"$gt": ""}, {"$where": "sleep(9)"}, {"$regex": ".*"}, {"$in": []}, {"$expr": {}},
]  # fmt: skip
CONTROLS = ["\x00", "\x01", "\x1b[2J", "\x7f", "\x85", "\u2028", "\u202e", "\u2066", "\r\nSet-Cookie: a=b"]

CLASSES.values("null for a value", None, needs="never null")
CLASSES.values("boolean for a value", True, False)
CLASSES.values("integer for a value", 0, 1, -1, 1 << 62, -(1 << 63))
CLASSES.values("fraction for a value", 0.1, 1.5, -2.5, 1e300)
CLASSES.values("array for a value", [], ["x"], [[]], [None] * 100)
CLASSES.values("object for a value", {}, {"a": 1}, {"amount": "1.00"}, {"__proto__": {}})
CLASSES.values("Mongo operator for a value", *OPERATORS)
CLASSES.values("very long text", "x" * 100_000, "\U0001f4a9" * 20_000)
CLASSES.values("empty text", "", " ", "\t", "\u00a0", "\u3000")
CLASSES.values("control characters", *(f"a{control}b" for control in CONTROLS))


@CLASSES.spoiled("key twice", "fields")
def _twice(rng: random.Random, draft: Draft) -> None:
    text = json_of(draft)
    key = rng.choice(list(draft.fields or {"a": 1}))
    draft.body = b"{" + json.dumps(key).encode() + b":1," + text[1:]


@CLASSES.spoiled("unknown field", "fields")
def _unknown(rng: random.Random, draft: Draft) -> None:
    names = [
        "role",
        "owner_id",
        "balance",
        "initiator",
        "is_admin",
        "user_id",
        "id",
        "status",
        "Amount",
        "reason ",
    ]
    assert draft.fields is not None
    unknown = [name for name in names if name not in draft.fields]
    draft.fields[rng.choice(unknown)] = rng.choice(["admin", 1, True, None, {}])


@CLASSES.spoiled("names with a meaning elsewhere", "fields")
def _magic(rng: random.Random, draft: Draft) -> None:
    assert draft.fields is not None
    draft.fields[
        rng.choice(["__proto__", "constructor", "__class__", "$where", "$set", "a.b", "_id", "", "\u202e"])
    ] = {}


@CLASSES.spoiled("field missing", "required")
def _missing(rng: random.Random, draft: Draft) -> None:
    assert draft.fields is not None
    del draft.fields[rng.choice([name for name in draft.fields if name != "end_other_sessions"])]
