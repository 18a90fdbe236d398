"""The proof that the bank's books, its events and its audit trails are what was written."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from bankctl import invocation
from bankctl.anchors import load_anchors, save_anchors
from bankctl.client.bank import BankClient
from bankctl.client.long_answers import OnProgress
from bankctl.errors import CliError, ExitStatus
from bankctl.heads import Held, ProvenEnd, follow, load_held, opened, save_held
from bankctl.invocation import OutputFormat
from bankctl.receipt import InvalidProofError
from bankctl.render.column import Column
from bankctl.render.output import emit
from daemons.contracts.checkpoint import SignedCheckpoint
from daemons.contracts.names import Trail
from daemons.contracts.vocabulary import PART_DIGITS, PARTS_NAMED

_SETS = {"events": "events received", "notifications": "notifications"}
_SHOWN = 3
PROOF_COLUMNS = [Column("name", "Check"), Column("result", "Result"), Column("detail", "Detail")]
_PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold."""

    name: str
    holds: bool
    detail: str

    def document(self) -> dict[str, str]:
        """The check as a row."""
        return {"name": self.name, "result": "ok" if self.holds else "FAILED", "detail": self.detail}


@dataclass(frozen=True, slots=True)
class Proof:
    """All checks, and the daemons' own words behind them."""

    checks: Sequence[Check]
    ledger: Mapping[str, Any]
    events: Mapping[str, Any]

    @property
    def holds(self) -> bool:
        """Whether every check does."""
        return all(check.holds for check in self.checks)

    def show(self, columns: Sequence[Column]) -> None:
        """Print the checks; JSON has the daemons' answers as well."""
        rows = [check.document() for check in self.checks]
        run = invocation.current()
        if run.output in {OutputFormat.JSON, OutputFormat.JSONL} or run.query is not None:
            emit({"holds": self.holds, "checks": rows, "ledger": self.ledger, "events": self.events})
        else:
            emit(rows, columns=columns, title="Proof")

    def require(self) -> None:
        """Go on only if everything holds.

        Raises:
            CliError: something does not.
        """
        failed = [check.name for check in self.checks if not check.holds]
        if failed:
            raise CliError(
                f"the proof does not hold: {', '.join(failed)}",
                exit_status=ExitStatus.UNEXPECTED,
                hint="`bankctl admin prove -o json` names more; late events need a longer --wait; after "
                "`bankctl dev reset`, `bankctl admin prove --forget` and `bankctl admin audit verify "
                "--forget` drop what was kept",
                code="proof_failed",
            )


def prove_bank(
    bank: BankClient,
    *,
    wait_seconds: float,
    on_progress: OnProgress,
    forget: bool = False,
    full: bool = False,
) -> Proof:
    """Prove the books, the events up to the newest record, and the audit trails of all three daemons.

    What is committed while the proof runs is not in it. Events arrive a moment after the money has moved, so
    those that are missing are waited for. Journal and events are read from where the last proof on this
    machine ended, unless it is to be a full one.
    """
    deadline = time.monotonic() + wait_seconds
    held = Held() if forget else load_held(bank.profile)
    end = None if full else held.proven
    ledger = bank.transactions.prove_and_sign(
        since=None if end is None else end.size, on_progress=on_progress
    )
    goes_on = end is not None and ledger.get("since") is not None
    scope = _Scope(
        until=ledger["as_of"],
        since=ledger["events_since"] if goes_on else None,
        after=end.events_after if end is not None and goes_on else None,
    )
    while True:
        events = bank.events.proof(
            on_progress=on_progress, since=scope.since, until=scope.until, after=scope.after
        )
        agreed = not _all_differing_parts(ledger, events)
        # What is wrong in the books stays wrong; only events on their way get better by waiting.
        if agreed or not _books_hold(ledger) or time.monotonic() + _PAUSE_SECONDS > deadline:
            break
        time.sleep(_PAUSE_SECONDS)
    differences = [] if agreed else _differences(bank, ledger, events, scope, on_progress)
    checks = [
        _extent(ledger),
        *_book_checks(ledger),
        _outbox_check(ledger, events_agree=not differences),
        *_event_checks(ledger["events"], events, differences),
        *_audit_checks(bank, on_progress),
        _journal_check(bank, ledger, held),
    ]
    if ledger.get("checkpoint") is not None and all(check.holds for check in checks):
        # The next proof may go on from here: nothing that is older was left open.
        held.proven = ProvenEnd(ledger["checkpoint"]["size"], events["goes_on_after"])
        save_held(bank.profile, held)
    for told in (ledger["events"], events["events"], events["notifications"]):
        # Only what compares sets needs them.
        told.pop("parts", None)
        told.pop("named", None)
    return Proof(checks, ledger, {**events, "differences": differences})


@dataclass(frozen=True, slots=True)
class _Scope:
    """Which events are compared: of which times, and behind which position of the log."""

    until: str
    since: str | None
    after: int | None


def _extent(ledger: Mapping[str, Any]) -> Check:
    since = ledger.get("since")
    if since is None:
        return Check("extent", holds=True, detail="all of the journal and of the events")
    return Check(
        "extent",
        holds=True,
        detail=f"all accounts, users, approvals and audit trails; journal and events since checkpoint "
        f"{since['number']} ({since['size']} seals, {since['made_at']}), what is older with --full",
    )


def _books_hold(ledger: Mapping[str, Any]) -> bool:
    return all(check.holds for check in _book_checks(ledger))


def _book_checks(ledger: Mapping[str, Any]) -> list[Check]:
    sums = [
        Check(
            f"sum of {item['currency']}",
            int(item["sum_minor"]) == 0,
            f"{item['sum_minor']} in minor units over {item['accounts']} accounts, {item['entries']} entries",
        )
        for item in ledger["currencies"]
    ]
    return [
        Check(
            "ledger",
            ledger["holds"] is True,
            f"{ledger['journal_transactions']} transactions, {ledger['completed']} completed, "
            f"{ledger['failed']} failed",
        ),
        *sums,
        _without_mismatches("balances", ledger, f"{ledger['accounts']} accounts equal their entries"),
    ]


def _without_mismatches(name: str, proof: Mapping[str, Any], right: str) -> Check:
    mismatches = proof["mismatches"]
    first = "; ".join(f"{item.get('id')}: {item.get('problem')}" for item in mismatches[:_SHOWN])
    return Check(name, not mismatches, first or right)


def _outbox_check(ledger: Mapping[str, Any], *, events_agree: bool) -> Check:
    # While payments go on some events are always on their way: it counts only if they do not arrive.
    pending = ledger["outbox_pending"]
    return Check("outbox", pending == 0 or events_agree, f"{pending} events were not yet published")


def _event_checks(
    booked: Mapping[str, Any], events: Mapping[str, Any], differences: Sequence[Mapping[str, str]]
) -> list[Check]:
    checks = []
    for name, title in _SETS.items():
        found, of_set = events[name], [item for item in differences if item["set"] == name]
        detail = f"{found['count']} of {booked['count']}, digest {found['digest']}"
        if of_set:
            first = "; ".join(f"{item['id']}: {item['problem']}" for item in of_set[:_SHOWN])
            detail = f"{detail} instead of {booked['digest']}; {first}"
        if (more := found["count"] - booked["count"]) > 0 and of_set:
            detail += (
                f"; {more} or more are not in the journal, which is an older copy or was restored from one"
            )
        checks.append(Check(title, not of_set, detail))
    held = f"{events['events']['count']} events tell what is stored of them"
    deliveries = _deliveries_check(events["deliveries"])
    return [*checks, _without_mismatches("event log", events, held), deliveries]


def _deliveries_check(found: Mapping[str, Any]) -> Check:
    detail = f"{found['settled']} settled, of them {found['given_up']} given up; {found['tried']} still tried"
    if found["astray"]:
        detail += f"; {found['astray']} neither settled nor tried"
    return Check("deliveries", holds=not found["astray"], detail=detail)


def _differing_parts(booked: Mapping[str, Any], found: Mapping[str, Any]) -> set[int]:
    """The parts of the ids in which one set of events is not the other."""
    ours, theirs = booked["parts"], found["parts"]
    return {
        start // PART_DIGITS
        for start in range(0, len(ours), PART_DIGITS)
        if ours[start : start + PART_DIGITS] != theirs[start : start + PART_DIGITS]
    }


def _all_differing_parts(ledger: Mapping[str, Any], events: Mapping[str, Any]) -> set[int]:
    return {part for name in _SETS for part in _differing_parts(ledger["events"], events[name])}


def _differences(
    bank: BankClient,
    ledger: Mapping[str, Any],
    events: Mapping[str, Any],
    scope: _Scope,
    on_progress: OnProgress,
) -> list[dict[str, str]]:
    """Name the events in which the two differ: each is asked again for those of some parts of the ids."""
    parts = ",".join(map(str, sorted(_all_differing_parts(ledger, events))[:PARTS_NAMED]))
    since, until = scope.since, scope.until
    booked = bank.transactions.ledger_proof(on_progress=on_progress, since=since, until=until, parts=parts)
    booked = booked["events"]
    found = bank.events.proof(
        on_progress=on_progress, since=since, until=until, after=scope.after, parts=parts
    )
    differences = []
    for name in _SETS:
        # What was committed in the very millisecond of the newest record may have come since.
        if _differing_parts(booked, found[name]):
            named = list(_compared(_by_id(booked), _by_id(found[name])))
            named = named or [("others", "differ as well; mend the named ones first")]
            differences += [{"set": name, "id": id_, "problem": problem} for id_, problem in named]
    return differences


def _by_id(events: Mapping[str, Any]) -> dict[str, str]:
    return {item["id"]: item["digest"] for item in events["named"]}


def _compared(booked: Mapping[str, str], found: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for id_ in sorted(booked.keys() | found.keys()):
        if id_ not in found:
            yield id_, "is in the journal and not here"
        elif id_ not in booked:
            yield id_, "is not in the journal"
        elif booked[id_] != found[id_]:
            yield id_, "is not what the journal says"


def _journal_check(bank: BankClient, ledger: Mapping[str, Any], held: Held) -> Check:
    """Check that what the bank has signed now goes on from what was proven here last, and keep it instead."""
    name = "signed journal"
    if ledger.get("checkpoint") is None:
        return Check(name, ledger["holds"] is True, "nothing was signed")
    before = held.checkpoint
    try:
        signed = opened(ledger["checkpoint"]["note"], held, bank.checkpoints.keys())
        size = signed.checkpoint.size
        if before is not None and size < before.checkpoint.size:
            return Check(name, holds=False, detail=f"{size} seals; {before.checkpoint.size} were proven here")
        proof = None if before is None else bank.checkpoints.consistency(before.checkpoint.size, size)
        follow(held, signed, proof)
        if before is not None and not _is_stored(bank, before):
            problem = f"the bank no longer has the checkpoint of {before.checkpoint.size} seals kept here"
            return Check(name, holds=False, detail=problem)
    except InvalidProofError as error:
        return Check(name, holds=False, detail=f"not the journal of the last proof here: {error}")
    save_held(bank.profile, held)
    since = "no earlier end is kept here" if before is None else f"goes on from {before.checkpoint.size}"
    return Check(name, holds=True, detail=f"{size} seals, {since}")


def _is_stored(bank: BankClient, kept: SignedCheckpoint) -> bool:
    """Whether the bank still stores a checkpoint that is kept here; it removes none."""
    newer = takewhile(lambda one: one["size"] >= kept.checkpoint.size, bank.checkpoints.list(limit=None))
    return any(one["note"] == kept.note for one in newer)


def _audit_checks(bank: BankClient, on_progress: OnProgress) -> list[Check]:
    """Verify the trails against the ends that this machine keeps; these are replaced only if all hold."""
    anchors = load_anchors(bank.profile)
    checks, heads = [], {}
    for done, trail in enumerate(Trail):
        on_progress("audit", done, len(Trail))
        name = str(trail)
        proof = bank.audit.proof(name, anchors.get(name))
        faults = "; ".join(f"{place_of(fault)}{fault['problem']}" for fault in proof["faults"][:_SHOWN])
        anchored = (
            "compared with the last verification here" if proof["anchored"] else "no earlier end is kept here"
        )
        checks.append(
            Check(
                f"audit of {name}",
                proof["holds"] is True,
                faults or f"{proof['head']['count']} records, {anchored}",
            )
        )
        heads[name] = proof["head"]
    if all(check.holds for check in checks):
        save_anchors(bank.profile, {**anchors, **heads})
    return checks


def place_of(fault: Mapping[str, Any]) -> str:
    """Where a fault of an audit trail is, as the beginning of a sentence."""
    return f"record {fault['seq']}: " if fault["seq"] else ""
