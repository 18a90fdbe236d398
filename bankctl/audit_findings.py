"""What in the audit trails looks as if two of the staff, or one as two, had got around the policy.

Rules over records as the bank gives them; each names the records that it rests on. What a rule says is a
reason to look, not a proof: docs/security.md lists which frauds are refused and which are only found here.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

Record = Mapping[str, Any]
"""A record of the audit with its `trail`."""

COUNTED = frozenset({"fund", "withdraw"})
HASTY = timedelta(seconds=10)
"""Too short to have looked at what one approves."""
BRIEF = timedelta(days=1)
"""A role held for less than this was given for one purpose."""
CLOSE_TO_LIMIT = Decimal("0.8")
FEW = 3
"""So many acts of one day, days in a row or approvals each way are no accident."""
_TRIES = frozenset({"own_request", "own_account", "granted_role"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One reason to look: the rule, who is concerned, what happened, and the records that say so."""

    rule: str
    at: str
    who: str
    what: str
    records: str

    def row(self) -> dict[str, str]:
        """The finding as a row of output."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Approved:
    """An act that two people did: the record of its request, if it is in the trail, and of the act."""

    asked: Record | None
    done: Record

    @property
    def requester(self) -> Record:
        person: Record = self.done["approval"]["requested_by"]
        return person

    @property
    def approver(self) -> Record:
        person: Record = self.done["actor"]
        return person


@dataclass(frozen=True, slots=True)
class _Trails:
    """The records oldest first, and what several rules look for in them."""

    records: Sequence[Record]
    limits: Mapping[tuple[str, str], Decimal]
    """What one person may do alone in a day, by act and currency."""
    approved: Sequence[_Approved]


def find(records: Iterable[Record], policy: Sequence[Mapping[str, Any]] = ()) -> list[Finding]:
    """Apply every rule; the findings come in the order of time.

    Args:
        records: of all trails, in any order, each with its `trail`.
        policy: the acts of the bank's policy, as `bankctl admin policy` shows them.
    """
    ordered = sorted(records, key=lambda record: (record["at"], record["trail"], record["seq"]))
    asked = {
        (record["trail"], record["approval"]["id"]): record
        for record in ordered
        if record["approval"] and record["action"].endswith(".requested")
    }
    approved = [
        _Approved(asked.get((record["trail"], record["approval"]["id"])), record)
        for record in ordered
        if record["approval"] and not record["action"].endswith((".requested", ".rejected"))
    ]
    limits = {
        (act["act"], currency): Decimal(amount) for act in policy for currency, amount in act["alone"].items()
    }
    trails = _Trails(ordered, limits, approved)
    found = [finding for rule in _RULES for finding in rule(trails)]
    return sorted(found, key=lambda finding: (finding.at, finding.rule))


def _granted(trails: _Trails) -> Iterator[Finding]:
    """One had given the other their role."""
    grants: dict[tuple[str, str], Record] = {}
    for record in trails.records:
        if record["action"] == "change_role":
            for giver in _people_of(record):
                grants[giver, record["target"]["id"]] = record
    for act in trails.approved:
        one, other = act.requester["user_id"], act.approver["user_id"]
        for giver, taker in ((one, other), (other, one)):
            grant = grants.get((giver, taker))
            if grant is not None and grant["at"] <= act.done["at"]:
                names = {one: act.requester["display_name"], other: act.approver["display_name"]}
                what = f"{names[giver]} had taken part in giving {names[taker]} a role"
                yield _finding("granted", act, what, grant, act.done)


def _same_address(trails: _Trails) -> Iterator[Finding]:
    """Both came from one address: two who sit side by side, or one with two sign-ins."""
    for act in trails.approved:
        if act.asked is not None and act.asked["address"] == act.done["address"]:
            what = f"asked and approved from one address, {act.done['address']}"
            yield _finding("same_address", act, what, act.asked, act.done)


def _hasty(trails: _Trails) -> Iterator[Finding]:
    """It was approved before anybody could have looked at it."""
    for act in trails.approved:
        if act.asked is not None and _time(act.done) - _time(act.asked) < HASTY:
            seconds = (_time(act.done) - _time(act.asked)).total_seconds()
            yield _finding("hasty", act, f"approved {seconds:.1f} s after it was asked", act.asked, act.done)


def _mutual(trails: _Trails) -> Iterator[Finding]:
    """Two approve for each other again and again."""
    between: defaultdict[tuple[str, str], list[_Approved]] = defaultdict(list)
    for act in trails.approved:
        between[act.requester["user_id"], act.approver["user_id"]].append(act)
    for (one, other), acts in between.items():
        back = between.get((other, one), [])
        if one < other and min(len(acts), len(back)) >= FEW:
            what = f"approved for each other, {len(acts)} and {len(back)} times"
            yield _finding("mutual", acts[-1], what, *(act.done for act in (*acts, *back)))


def _brief_role(trails: _Trails) -> Iterator[Finding]:
    """A role was given, used to approve, and taken away again."""
    changes: defaultdict[str, list[Record]] = defaultdict(list)
    for record in trails.records:
        if record["action"] == "change_role":
            changes[record["target"]["id"]].append(record)
    for user_id, roles in changes.items():
        for given, taken in pairwise(roles):
            if _time(taken) - _time(given) >= BRIEF or (given["after"] or {}).get("role") == "user":
                continue
            for act in trails.approved:
                held = given["at"] <= act.done["at"] <= taken["at"]
                if held and act.approver["user_id"] == user_id:
                    role = (given["after"] or {}).get("role")
                    what = f"approved while being {role} for {_time(taken) - _time(given)}"
                    yield _finding("brief_role", act, what, given, act.done, taken)


def _alone(trails: _Trails) -> Iterator[tuple[Record, Decimal]]:
    """The acts that one person has done without another, and their amounts."""
    for record in trails.records:
        after = record["after"] or {}
        if record["action"] in COUNTED and not record["approval"] and after.get("status") == "completed":
            yield record, Decimal(after["amount"])


def _burst(trails: _Trails) -> Iterator[Finding]:
    """One person did just what they may do alone: in pieces on one day, or on days in a row."""
    days: defaultdict[tuple[str, str, str], defaultdict[str, list[tuple[Record, Decimal]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for record, amount in _alone(trails):
        person = (record["actor"]["user_id"], record["action"], record["after"]["currency"])
        days[person][record["at"][:10]].append((record, amount))
    for (_, act, currency), by_day in days.items():
        limit = trails.limits.get((act, currency))
        if not limit:
            continue
        full = {
            day: pieces
            for day, pieces in by_day.items()
            if sum(amount for _, amount in pieces) >= limit * CLOSE_TO_LIMIT
        }
        for pieces in full.values():
            if len(pieces) >= FEW:
                total = sum(amount for _, amount in pieces)
                what = f"{act} in {len(pieces)} pieces, {total} of {limit} {currency} allowed alone in a day"
                yield _by_one("burst", what, [record for record, _ in pieces])
        for days_in_a_row in _in_a_row(sorted(full)):
            what = f"{act} close to {limit} {currency} alone on {len(days_in_a_row)} days in a row"
            yield _by_one("burst", what, [record for day in days_in_a_row for record, _ in full[day]])


def _in_a_row(days: Sequence[str]) -> Iterator[list[str]]:
    row: list[str] = []
    for day in days:
        follows = row and datetime.fromisoformat(day) - datetime.fromisoformat(row[-1]) == timedelta(days=1)
        if row and not follows:
            if len(row) >= FEW:
                yield row
            row = []
        row.append(day)
    if len(row) >= FEW:
        yield row


def _split(trails: _Trails) -> Iterator[Finding]:
    """Several did together, each alone, what would have taken two of them to decide."""
    sums: defaultdict[tuple[str, str, str, str], list[tuple[Record, Decimal]]] = defaultdict(list)
    for record, amount in _alone(trails):
        day, account = record["at"][:10], record["target"]["id"]
        sums[account, record["action"], record["after"]["currency"], day].append((record, amount))
    for (account, act, currency, day), pieces in sums.items():
        limit, total = trails.limits.get((act, currency)), sum(amount for _, amount in pieces)
        people = {record["actor"]["user_id"] for record, _ in pieces}
        if limit is not None and len(people) > 1 and total > limit:
            what = f"{act} of {total} {currency} on account {account} on {day}, each below {limit}"
            yield _by_one("split", what, [record for record, _ in pieces])


def _tried(trails: _Trails) -> Iterator[Finding]:
    """Somebody tried what the policy refuses."""
    for record in trails.records:
        if record["action"] == "access.refused" and record["reason"] in _TRIES:
            path = (record["after"] or {}).get("path", record["target"]["id"])
            yield _by_one("tried", f"refused with {record['reason']}: {path}", [record])


def _from_shell(trails: _Trails) -> Iterator[Finding]:
    """Power was given in the server's shell, where nobody is asked."""
    for record in trails.records:
        of_shell = record["actor"]["user_id"] is None and record["action"] in {"change_role", "create_user"}
        role = (record["after"] or {}).get("role")
        if of_shell and role not in {None, "user"}:
            yield _by_one("shell", f"{record['action']} to {role}: {record['target']['id']}", [record])


_RULES: Sequence[Callable[[_Trails], Iterator[Finding]]] = (
    _granted,
    _same_address,
    _hasty,
    _mutual,
    _brief_role,
    _burst,
    _split,
    _tried,
    _from_shell,
)


def _people_of(record: Record) -> Iterator[str]:
    """Who did an act: the actor, and the person who asked for it."""
    if record["actor"]["user_id"] is not None:
        yield record["actor"]["user_id"]
    if record["approval"]:
        yield record["approval"]["requested_by"]["user_id"]


def _finding(rule: str, act: _Approved, what: str, *records: Record) -> Finding:
    who = f"{act.requester['display_name']}, {act.approver['display_name']}"
    return Finding(
        rule=rule,
        at=act.done["at"],
        who=who,
        what=f"{act.done['action']} on {act.done['target']['id']}: {what}",
        records=_named(records),
    )


def _by_one(rule: str, what: str, records: Sequence[Record]) -> Finding:
    names = dict.fromkeys(record["actor"]["display_name"] for record in records)
    return Finding(rule=rule, at=records[-1]["at"], who=", ".join(names), what=what, records=_named(records))


def _named(records: Iterable[Record]) -> str:
    return " ".join(f"{record['trail']}:{record['seq']}" for record in records)


def _time(record: Record) -> datetime:
    return datetime.fromisoformat(record["at"]).astimezone(UTC)
