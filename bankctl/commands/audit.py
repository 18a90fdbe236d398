"""admin audit list, show, verify, export, findings."""

from collections.abc import Iterator
from heapq import merge
from pathlib import Path
from typing import Annotated, Any

import typer

from bankctl import invocation
from bankctl.anchors import load_anchors, read_anchor_file, save_anchors
from bankctl.audit_export import verify_export
from bankctl.client.bank import BankClient, open_bank
from bankctl.commands.accounts import All, Limit
from bankctl.errors import CliError, ExitStatus, usage_error
from bankctl.invocation import OutputFormat
from bankctl.proof import place_of
from bankctl.render import messages
from bankctl.render.column import Column
from bankctl.render.output import emit, emit_event
from bankctl.times import parse_instant
from daemons.contracts.names import Trail

app = typer.Typer(
    help="""Who did what to whom, when, why and from where; and whether the record is complete.

Examples:
  bankctl admin audit list --target 4000000006
  bankctl admin audit list --action sign_in.refused --since 2026-11-01
  bankctl admin audit verify

Administrative acts and security events: sign-ins, refusals, sessions, passwords, second factors, API keys.
Each daemon keeps its own trail: `ledger` for accounts and money, `users` for people and their access,
`events` for dead letters and refused access to events. Without --trail all three are shown.
"""
)


_Which = Annotated[Trail | None, typer.Option("--trail", help="Only that one.")]
_COLUMNS = [
    Column("trail", "Trail"),
    Column("seq", "No.", "right"),
    Column("at", "Time"),
    Column("actor.display_name", "Who", cut=True),
    Column("action", "Act"),
    Column("target.id", "Whom", cut=True),
    Column("reason", "Why", rank=1, cut=True),
    Column("address", "From", rank=2, cut=True),
]
_DETAILS = [
    *_COLUMNS,
    Column("target.kind", "Kind"),
    Column("actor.user_id", "User"),
    Column("actor.role", "Role"),
    Column("before", "Before"),
    Column("after", "After"),
    Column("approval", "First person"),
    Column("request_id", "Request"),
    Column("hash", "Hash"),
]
_FINDINGS = [
    Column("rule", "Rule"),
    Column("at", "Time"),
    Column("who", "Who"),
    Column("what", "What"),
    Column("records", "Records", rank=1),
]
_VERDICTS = [
    Column("trail", "Trail"),
    Column("result", "Result"),
    Column("head.count", "Records", "right"),
    Column("compared_with", "Compared with"),
    Column("problem", "Problem"),
]


@app.command("list")
def list_records(
    *,
    trail: _Which = None,
    action: Annotated[
        str | None, typer.Option("--action", help="Such as fund, lock, sign_in or sign_in.refused.")
    ] = None,
    actor: Annotated[str | None, typer.Option("--actor", metavar="USER_ID", help="Only theirs.")] = None,
    target: Annotated[
        str | None,
        typer.Option("--target", metavar="ID", help="Only those on this account, user or dead letter."),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Only from this time on.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Only before this time.")
    ] = None,
    limit: Limit = 50,
    everything: All = False,
) -> None:
    """List administrative acts and security events, newest first (support staff).

    Examples:
      bankctl admin audit list
      bankctl admin audit list --action fund --all -o csv > funding.csv
      bankctl admin audit list --action access.refused --since 2026-11-24T09:00Z
      bankctl admin audit list --trail events --action replay_dead_letters

    TIME is a date (midnight UTC), or a date and time, in UTC unless it has a zone.
    """
    wanted = {
        "action": action,
        "actor": actor,
        "target": target,
        "since": parse_instant("--since", since),
        "until": parse_instant("--until", until),
    }
    with open_bank() as bank:
        found = [_named(bank.audit.list(one, wanted), one) for one in _chosen(trail)]
        newest = merge(*found, key=lambda record: str(record["at"]), reverse=True)
        emit(_first(newest, None if everything else limit), columns=_COLUMNS, title="Audit")


@app.command()
def show(
    trail: Annotated[Trail, typer.Argument(metavar="TRAIL", help="ledger, users or events.")],
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="The record's number.")],
) -> None:
    """Show one record in full.

    Examples:
      bankctl admin audit show ledger 17
      bankctl admin audit show users 3 --query "[before, after]"
    """
    with open_bank() as bank:
        emit({"trail": str(trail), **bank.audit.show(trail, number)}, columns=_DETAILS)


@app.command()
def verify(
    *,
    trail: _Which = None,
    anchor: Annotated[
        Path | None, typer.Option("--anchor", metavar="FILE", help="Compare with an earlier export.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="Verify an export, without the bank.")
    ] = None,
    forget: Annotated[
        bool, typer.Option("--forget", help="Drop the stored ends, such as after `bankctl dev reset`.")
    ] = False,
) -> None:
    """Verify that no record was changed, removed, moved or cut off.

    Examples:
      bankctl admin audit verify
      bankctl admin audit verify --anchor audit-2026-11.jsonl
      bankctl admin audit verify --file audit-2026-11.jsonl

    The bank recomputes every hash of the chain. A person who can write to its database could rewrite the
    whole chain, so its end is compared with the one that the last verification stored on this machine, or
    with that of an export. With --file every hash of an export is computed on this machine instead. Exits 1
    if anything is wrong.
    """
    if file is not None:
        if anchor is not None or forget or trail is not None:
            raise usage_error("--file cannot be combined with other options")
        _judge([_verdict(proof, "the file itself") for proof in _read_export(file)])
        messages.success("the file is whole")
        return
    with open_bank() as bank:
        kept = {} if forget else load_anchors(bank.profile)
        anchors = read_anchor_file(anchor) if anchor is not None else kept
        source = str(anchor) if anchor is not None else "the last verification here"
        verdicts = [
            _verdict(bank.audit.proof(one, anchors.get(one)), source if one in anchors else "-")
            for one in _chosen(trail)
        ]
        heads = _judge(verdicts)
        save_anchors(bank.profile, {**kept, **heads})
    messages.success("complete; its end is stored on this machine for the next time")


@app.command()
def export(*, trail: _Which = None) -> None:
    """Print all records as lines of JSON, oldest first, and the ends of the trails as the last line.

    Examples:
      bankctl admin audit export > audit-2026-11.jsonl
      bankctl admin audit export --trail users > users.jsonl

    Keep the file where the bank's operators cannot change it. `verify --file FILE` verifies the file itself;
    `verify --anchor FILE` compares the bank's trails with its end.
    """
    heads: dict[str, Any] = {}
    with open_bank() as bank:
        for one in _chosen(trail):
            heads[one] = _export_one(bank, one)
    emit_event({"heads": heads})


@app.command()
def findings(
    *,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Only acts from this time on.")
    ] = None,
    rule: Annotated[str | None, typer.Option("--rule", metavar="RULE", help="Only that one's.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Exit 1 if there is any.")] = False,
) -> None:
    """Name what looks as if staff had got around the policy (support staff).

    Examples:
      bankctl admin audit findings
      bankctl admin audit findings --since 2026-11-01 --rule same_address
      bankctl admin audit findings --since 2026-11-29 --check

    Rules over the whole trails: `granted`, one had taken part in giving the other a role; `same_address`,
    asked and approved from one address; `hasty`, approved within seconds; `mutual`, two who approve for each
    other; `brief_role`, approved in a role that was held for less than a day; `burst`, one person just below
    the limit in pieces or on days in a row; `split`, several just below it on one account; `tried`, what the
    policy refused; `shell`, power given in the server's shell. A finding is a reason to look, not a proof;
    `records` names the records for `bankctl admin audit show`.
    """
    from bankctl.audit_findings import find  # noqa: PLC0415 - no other command needs it

    earliest = parse_instant("--since", since) or ""
    with open_bank() as bank:
        policy = bank.approvals.policy("ledger")["acts"]
        records = [record for one in ("ledger", "users") for record in _named(bank.audit.list(one), one)]
    found = [one for one in find(records, policy) if one.at >= earliest and rule in {None, one.rule}]
    emit([one.row() for one in found], columns=_FINDINGS, title="Findings")
    if found and check:
        raise CliError(
            f"{len(found)} findings",
            exit_status=ExitStatus.UNEXPECTED,
            hint="`bankctl admin audit list` shows the records that they name",
            code="audit_findings",
        )


def _export_one(bank: BankClient, trail: str) -> dict[str, Any]:
    records = list(_named(bank.audit.list(trail), trail))
    for record in reversed(records):
        emit_event(record)
    if not records:
        head: dict[str, Any] = bank.audit.proof(trail, None)["head"]
        return head
    return {"count": records[0]["seq"], "hash": records[0]["hash"]}


def _chosen(trail: Trail | None) -> list[str]:
    return list(Trail) if trail is None else [str(trail)]


def _named(records: Iterator[dict[str, Any]], trail: str) -> Iterator[dict[str, Any]]:
    for record in records:
        yield {"trail": trail, **record}


def _first(records: Iterator[dict[str, Any]], limit: int | None) -> Iterator[dict[str, Any]]:
    for position, record in enumerate(records):
        if position == limit:
            messages.note("there are more; --limit N or --all shows them")
            return
        yield record


def _verdict(proof: dict[str, Any], compared_with: str) -> dict[str, Any]:
    faults = proof["faults"]
    first = faults[0] if faults else None
    more = f" ({proof['fault_count']} in all)" if proof["fault_count"] > 1 else ""
    return {
        **proof,
        "result": "ok" if proof["holds"] else "FAILED",
        "compared_with": compared_with,
        "problem": f"{place_of(first)}{first['problem']}{more}" if first else None,
    }


def _read_export(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8") as lines:
            return verify_export(lines)
    except (OSError, ValueError) as error:
        raise usage_error(
            f"{path} is not an export: {error}", hint="`bankctl admin audit export` makes one"
        ) from error


def _judge(verdicts: list[dict[str, Any]]) -> dict[str, Any]:
    """Show the verdicts and return where the trails end, or fail if one of them does not hold."""
    holds = all(verdict["holds"] for verdict in verdicts)
    heads = {verdict["trail"]: verdict["head"] for verdict in verdicts}
    _show_verdicts(verdicts, holds=holds, heads=heads)
    if not holds:
        raise CliError(
            "the audit trail was altered",
            exit_status=ExitStatus.UNEXPECTED,
            hint="the same with -o json names every record; keep the database and the file as they are",
            code="audit_broken",
        )
    return heads


def _show_verdicts(verdicts: list[dict[str, Any]], *, holds: bool, heads: dict[str, Any]) -> None:
    run = invocation.current()
    if run.query is not None or run.output in {OutputFormat.JSON, OutputFormat.JSONL}:
        emit({"holds": holds, "trails": verdicts, "heads": heads})
    else:
        emit(verdicts, columns=_VERDICTS, title="Audit")
