"""What an exported trail that was tampered with is told to be, fault by fault."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from bankctl.anchors import load_anchors, parse_anchors, read_anchor_file, save_anchors
from bankctl.audit_export import verify_export
from bankctl.config import Profile
from bankctl.errors import CliError, ExitStatus

Line = dict[str, Any]
GENESIS = hashlib.sha256(b"bankctl audit trail of user_api").hexdigest()
OTHER_HASH = "a" * 64


def hash_of(record: Line) -> str:
    """Return the hash as docs/adr/0009 defines it, computed beside the product's own code."""
    canonical = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def trail(count: int) -> list[Line]:
    """Return the records of a trail of users, and the line that tells its end."""
    lines: list[Line] = []
    previous = GENESIS
    for seq in range(1, count + 1):
        record = {"seq": seq, "reason": "für März", "previous_hash": previous}
        previous = hash_of(record)
        lines.append({"trail": "users", **record, "hash": previous})
    return [*lines, {"heads": {"users": {"count": count, "hash": previous}}}]


def verify(lines: list[Line]) -> list[Line]:
    return verify_export(json.dumps(line, ensure_ascii=False) for line in lines)


def rehashed(line: Line, **changed: Any) -> Line:
    """Return a record that was changed together with its hash."""
    record = {name: value for name, value in {**line, **changed}.items() if name not in {"hash", "trail"}}
    return {"trail": "users", **record, "hash": hash_of(record)}


def test_what_was_exported_is_verified_to_its_end() -> None:
    lines = trail(3)
    assert verify(lines) == [
        {
            "trail": "users",
            "holds": True,
            "head": {"count": 3, "hash": lines[2]["hash"]},
            "anchored": False,
            "fault_count": 0,
            "faults": [],
        }
    ]
    empty = verify([{"heads": {"users": {"count": 0, "hash": GENESIS}}}])
    assert (empty[0]["holds"], empty[0]["head"]) == (True, {"count": 0, "hash": GENESIS})


@pytest.mark.parametrize(
    ("tamper", "faults"),
    [
        pytest.param(
            lambda lines: [*lines[:2], lines[-1]],
            [(0, "the last line counts 3 records, the last one is 2")],
            id="the end cut off",
        ),
        pytest.param(
            lambda lines: lines[:-1],
            [(0, "the last line does not give the end of the trail: the file was truncated")],
            id="the last line cut off",
        ),
        pytest.param(
            lambda lines: [*lines[:2], rehashed(lines[2], reason="x"), lines[-1]],
            [(0, "the last line's hash is not that of the last record")],
            id="the last record written anew",
        ),
        pytest.param(
            lambda lines: [*lines[:-1], {"heads": {"events": {"count": 3, "hash": OTHER_HASH}}}],
            [(0, "the last line does not give the end of the trail: the file was truncated")],
            id="the end of another trail",
        ),
        pytest.param(
            lambda lines: [lines[0], lines[2], lines[-1]],
            [(2, "record 2 is missing")],
            id="a record taken out",
        ),
        pytest.param(
            lambda lines: lines[2:],
            [(1, "records 1 to 2 are missing")],
            id="the first two taken out",
        ),
        pytest.param(
            lambda lines: [lines[0], {**lines[1], "reason": "x"}, *lines[2:]],
            [(2, "was changed: its hash is not that of its content")],
            id="a reason changed",
        ),
        pytest.param(
            lambda lines: [lines[0], rehashed(lines[1], reason="x"), *lines[2:]],
            [(3, "does not follow the record before it")],
            id="a record changed with its hash",
        ),
        pytest.param(
            lambda lines: [rehashed(lines[0], previous_hash=OTHER_HASH), *lines[1:]],
            [
                (1, "does not follow the record before it"),
                (2, "does not follow the record before it"),
            ],
            id="the beginning of another trail",
        ),
        pytest.param(
            lambda lines: [*lines[:2], lines[1], *lines[2:]],
            [(3, "is in the trail but is not one of its records")],
            id="a record twice",
        ),
        *(
            pytest.param(
                lambda lines, seq=seq: [*lines[:2], rehashed(lines[2], seq=seq), lines[-1]],
                [
                    (3, "is in the trail but is not one of its records"),
                    (0, "the last line counts 3 records, the last one is 2"),
                ],
                id=f"a record numbered {seq!r}",
            )
            for seq in (None, "3", 3.0, True, 0)
        ),
        pytest.param(
            lambda lines: [*lines[:2], {**lines[2], "hash": 7}, lines[-1]],
            [
                (3, "is in the trail but is not one of its records"),
                (0, "the last line counts 3 records, the last one is 2"),
            ],
            id="a record without a hash",
        ),
        pytest.param(
            lambda lines: [*lines[:2], {**lines[2], "reason": float("nan")}, lines[-1]],
            [(3, "was changed: its hash is not that of its content")],
            id="a number that JSON has not",
        ),
        pytest.param(
            lambda lines: [*lines[:2], rehashed(lines[2], reason=float("nan")), lines[-1]],
            [
                (3, "was changed: its hash is not that of its content"),
                (0, "the last line's hash is not that of the last record"),
            ],
            id="a number that JSON has not, with its hash",
        ),
    ],
)
def test_each_fault_is_told_with_its_record(
    tamper: Callable[[list[Line]], list[Line]], faults: list[tuple[int, str]]
) -> None:
    verdict = verify(tamper(trail(3)))[0]
    assert [(fault["seq"], fault["problem"]) for fault in verdict["faults"]] == faults
    assert (verdict["trail"], verdict["holds"], verdict["fault_count"]) == ("users", False, len(faults))


def test_a_trail_that_only_the_last_line_names_was_cut_out() -> None:
    lines = trail(1)
    lines[-1]["heads"]["events"] = {"count": 2, "hash": OTHER_HASH}
    users, events = verify(lines)
    assert (users["trail"], users["holds"]) == ("users", True)
    assert (events["trail"], events["holds"]) == ("events", False)
    assert events["faults"] == [{"seq": 0, "problem": "the last line counts 2 records, the last one is 0"}]


def test_of_many_faults_fifty_are_shown_and_all_are_counted() -> None:
    lines = trail(52)
    for line in lines[:-1]:
        line["reason"] = "x"
    verdict = verify(lines)[0]
    assert (verdict["fault_count"], len(verdict["faults"])) == (52, 50)
    assert verdict["faults"][-1]["seq"] == 50


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"trail": "cash", "seq": 1}', "line 1 is not a record"),
        ('{"seq": 1}', "line 1 is not a record"),
        ("[]", "line 1 is not a record"),
        (json.dumps({"heads": {"cash": {"count": 0, "hash": OTHER_HASH}}}), "there is no trail cash"),
    ],
)
def test_what_is_no_export_is_told_by_its_line(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        verify_export([text])
    with pytest.raises(ValueError, match="empty"):
        verify_export([])


HEADS: dict[str, Line] = {
    "users": {"count": 3, "hash": OTHER_HASH},
    "events": {"hash": OTHER_HASH, "count": 3},
}


def test_ends_are_kept_and_read_again() -> None:
    profile = Profile(name="test", url="https://bank.example")
    assert load_anchors(profile) == {}
    path = save_anchors(profile, HEADS)
    assert path.parts[-2:] == ("anchors", "test.json")
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_anchors(profile) == HEADS
    # People read it, too.
    head = f'{{\n    "count": 3,\n    "hash": "{OTHER_HASH}"\n  }}'
    assert path.read_text() == f'{{\n  "events": {head},\n  "users": {head}\n}}\n'
    path.write_text("{}")
    with pytest.raises(CliError) as damaged:
        load_anchors(profile)
    assert (damaged.value.code, damaged.value.exit_status) == ("anchors_damaged", ExitStatus.UNEXPECTED)
    assert "--forget" in str(damaged.value.hint)
    assert str(path) in str(damaged.value)
    with pytest.raises(CliError) as refused:
        read_anchor_file(path)
    assert refused.value.exit_status == ExitStatus.USAGE
    assert "admin audit export" in str(refused.value.hint)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(HEADS),
        json.dumps({"heads": HEADS, "holds": True}),
        "\n" + 2 * f"{json.dumps({'trail': 'users'})}\n" + json.dumps({"heads": HEADS}) + "\n",
    ],
)
def test_ends_are_found_in_a_document_and_in_the_last_line_of_an_export(text: str) -> None:
    assert parse_anchors(text) == HEADS


NO_ENDS: list[Any] = [
    None,
    [],
    {"count": 3},
    {"hash": OTHER_HASH},
    {"count": "3", "hash": OTHER_HASH},
    {"count": 3, "hash": 7},
    {"count": 3, "hash": OTHER_HASH[1:]},
]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"heads": {}}',
        '{"heads": []}',
        *(json.dumps({"heads": {"ledger": head, **HEADS}}) for head in NO_ENDS),
    ],
)
def test_what_is_no_end_is_refused(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"^(no heads|what should be a head has no count and hash|Expecting value.*)$"
    ):
        parse_anchors(text)
