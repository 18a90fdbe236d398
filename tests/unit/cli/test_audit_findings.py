"""Each rule on records as the bank gives them, and what does not touch a rule."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from bankctl.audit_findings import find

START = datetime(2026, 11, 2, 9, tzinfo=UTC)
POLICY = [{"act": "fund", "approval": "beyond", "alone": {"EUR": "100"}, "at_most": {}}]
_numbers = count(1)


def person(name: str | None) -> dict[str, Any]:
    named = name or "the server's shell"
    return {"user_id": name, "display_name": named, "role": None if name is None else "operator"}


def record(action: str, by: str | None, *, after: float = 0, **fields: Any) -> dict[str, Any]:
    """A record so many hours after the start."""
    return {
        "trail": "ledger",
        "seq": next(_numbers),
        "at": (START + timedelta(hours=after)).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "actor": person(by),
        "action": action,
        "target": {"kind": "account", "id": "4000000006"},
        "reason": None,
        "address": f"of {by}",
        "before": None,
        "after": None,
        "approval": None,
        **fields,
    }


def by_two(asks: str, approves: str, *, after: float = 0, **fields: Any) -> list[dict[str, Any]]:
    """A funding that waited for an hour."""
    approval = {"id": f"{asks} {approves} {after}", "requested_by": person(asks), "requested_at": "x"}
    return [
        record("fund.requested", asks, after=after, approval=approval, **fields),
        record("fund", approves, after=after + 1, approval=approval, **fields),
    ]


def alone(by: str, amount: str, *, after: float = 0, account: str = "4000000006") -> dict[str, Any]:
    booked = {"status": "completed", "amount": amount, "currency": "EUR"}
    fields = {"after_": booked, "target": {"kind": "account", "id": account}}
    return {**record("fund", by, after=after), "after": fields["after_"], "target": fields["target"]}


def role(of: str, to: str, by: str | None, *, after: float = 0) -> dict[str, Any]:
    changed = record("change_role", by, after=after, trail="users", target={"kind": "user", "id": of})
    return {**changed, "after": {"role": to}}


def rules(*records: dict[str, Any]) -> list[str]:
    return [finding.rule for finding in find(records, POLICY)]


def test_what_two_independent_people_do_is_no_finding() -> None:
    assert rules(*by_two("olga", "omar"), *by_two("omar", "olga", after=5), alone("olga", "50")) == []


def test_a_grant_counts_in_both_directions_and_only_from_then_on() -> None:
    grant = role("omar", "operator", "olga", after=2)
    assert rules(*by_two("olga", "omar"), grant) == []
    assert rules(grant, *by_two("olga", "omar", after=3)) == ["granted"]
    assert rules(grant, *by_two("omar", "olga", after=3)) == ["granted"]


def test_who_only_asked_for_a_role_has_given_it_too() -> None:
    approval = {"id": "x", "requested_by": person("olga")}
    grant = {**role("omar", "operator", "ada"), "approval": approval}
    assert rules(grant, *by_two("olga", "omar", after=3)) == ["granted"]


def test_one_address_and_no_time_to_look() -> None:
    assert rules(*by_two("olga", "omar", address="192.0.2.1")) == ["same_address"]
    asked, done = by_two("olga", "omar")
    at_once = (datetime.fromisoformat(asked["at"]) + timedelta(seconds=9)).isoformat()
    assert rules(asked, {**done, "at": at_once}) == ["hasty"]
    # Without the record of the request nothing is known of it.
    assert rules({**done, "at": at_once}) == []


def test_two_who_approve_for_each_other() -> None:
    forth = [one for hour in (0, 5, 10) for one in by_two("olga", "omar", after=hour)]
    back = [one for hour in (2, 7, 12) for one in by_two("omar", "olga", after=hour)]
    assert rules(*forth, *back[:4]) == []
    assert rules(*forth, *back) == ["mutual"]


def test_a_role_for_less_than_a_day() -> None:
    act = by_two("olga", "omar", after=2)
    given = role("omar", "operator", "ada")
    assert rules(given, *act, role("omar", "user", "ada", after=23)) == ["brief_role"]
    assert rules(given, *act, role("omar", "user", "ada", after=24)) == []
    assert rules(given, role("omar", "user", "ada", after=1), *act) == []


def test_all_that_is_allowed_in_pieces_and_day_by_day() -> None:
    assert rules(alone("olga", "40"), alone("olga", "40")) == []
    assert rules(alone("olga", "40"), alone("olga", "20"), alone("olga", "19.99")) == []
    assert rules(alone("olga", "40"), alone("olga", "20"), alone("olga", "20")) == ["burst"]
    assert rules(alone("olga", "99"), alone("olga", "99", after=24)) == []
    assert rules(*(alone("olga", "99", after=24 * day) for day in range(3))) == ["burst"]
    assert rules(*(alone("olga", "99", after=48 * day) for day in range(3))) == []
    # By a policy without a limit there is nothing to stay below.
    assert [one.rule for one in find([alone("olga", "99")] * 3, [])] == []


def test_several_together_beyond_what_one_may() -> None:
    assert rules(alone("olga", "60"), alone("omar", "60")) == ["split"]
    assert rules(alone("olga", "60"), alone("omar", "60", account="4000000014")) == []
    assert rules(alone("olga", "60"), alone("omar", "60", after=24)) == []


def test_tries_and_the_shell() -> None:
    assert rules(record("access.refused", "olga", reason="own_account")) == ["tried"]
    assert rules(record("access.refused", "olga", reason="forbidden")) == []
    assert rules(role("omar", "admin", None)) == ["shell"]
    assert rules(role("omar", "user", None)) == []


def test_a_finding_names_people_and_records() -> None:
    grant = role("omar", "operator", "olga")
    asked, done = by_two("olga", "omar", after=3)
    [found] = find([done, grant, asked], POLICY)
    assert found.row() == {
        "rule": "granted",
        "at": done["at"],
        "who": "olga, omar",
        "what": "fund on 4000000006: olga had taken part in giving omar a role",
        "records": f"users:{grant['seq']} ledger:{done['seq']}",
    }
