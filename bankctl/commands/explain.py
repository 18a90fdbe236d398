"""explain."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import typer

from bankctl import invocation
from bankctl.client.bank import BankClient, open_bank
from bankctl.errors import CliError, ExitStatus, usage_error
from bankctl.invocation import OutputFormat
from bankctl.render.output import emit, emit_text
from bankctl.render.text import clean
from bankctl.times import written
from daemons.contracts.permissions import Role

_WIDTH = 12
_MISSING = {ExitStatus.NOT_FOUND, ExitStatus.FORBIDDEN, ExitStatus.UNREACHABLE}
"""Why a part of the explanation may be missing, without the rest being worth less."""


def explain(
    transaction: Annotated[str, typer.Argument(metavar="TRANSACTION", help="The transaction's id.")],
) -> None:
    """Show how a transaction came about, on one screen.

    Examples:
      bankctl explain 0190a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b
      bankctl explain 0190a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b -o json --query seal

    Who asked for it, what was checked with the figures of that moment, its entries, its seal, its event with
    topic, partition and offset, and every delivery. Of their own transactions owners see checks, entries of
    their accounts and the seal; the rest is for support staff. Where staff booked from is in the audit.
    """
    try:
        wanted = str(UUID(transaction))
    except ValueError:
        raise usage_error(
            f"{transaction!r} is not a transaction's id",
            hint="`bankctl transactions list` shows ids",
            code="invalid_id",
        ) from None
    with open_bank() as bank:
        found = _explanation(bank, wanted)
    run = invocation.current()
    if run.query is not None or run.output is not OutputFormat.TABLE:
        emit(found)
    else:
        emit_text("\n".join(_screen(found)))


def _explanation(bank: BankClient, transaction_id: str) -> dict[str, Any]:
    """Join what the daemons answer; what one of them cannot say is named under `missing`."""
    found, missing = bank.transactions.explain(transaction_id), {}
    # A refusal is recorded in the audit, so what is known to be refused is not asked for.
    is_customer = bank.session is not None and bank.session.role == Role.USER

    def part(name: str, ask: Callable[[], Any]) -> Any:
        if is_customer:
            missing[name] = "for support staff"
            return None
        try:
            return ask()
        except CliError as error:
            if error.exit_status not in _MISSING:
                raise
            missing[name] = error.message
            return None

    event = part("event", lambda: bank.events.show(transaction_id))
    deliveries = part("deliveries", lambda: list(_deliveries_of(bank, transaction_id)))
    audit = part("audit", lambda: _audited(bank, found))
    return {**found, "audit": audit, "event": event, "deliveries": deliveries, "missing": missing}


def _deliveries_of(bank: BankClient, event_id: str) -> Iterator[dict[str, Any]]:
    return bank.deliveries.list(state=None, channel=None, recipient=None, event=event_id, limit=None)


def _audited(bank: BankClient, found: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the audit's record of a booking by staff; customers' payments have none."""
    at = datetime.fromisoformat(found["transaction"]["created_at"])
    times = {"since": written(at), "until": written(at + timedelta(seconds=1))}
    for record in bank.audit.list("ledger", times):
        if (record.get("after") or {}).get("transaction_id") == found["transaction"]["id"]:
            return record
    return None


def _screen(found: Mapping[str, Any]) -> list[str]:
    """The explanation in lines of at most 80 characters, as long as names and texts are no longer."""
    transaction = found["transaction"]
    amount = f"{transaction['amount']['amount']} {transaction['amount']['currency']}"
    sides = f"{transaction['from_account'] or 'outside'} to {transaction['to_account'] or 'outside'}"
    lines = [
        f"Transaction {transaction['id']}",
        *_line("what", f"{transaction['kind']} of {amount}, {transaction['status']}"),
        *_line("from/to", sides),
        *_line("reference", transaction["reference"]),
        *_line("description", transaction["description"]),
        "Asked for",
        *_line("by", _person(found["initiated_by"])),
        *_line("at", transaction["created_at"]),
        *_asked_from(found),
        "Checked",
        *_checks(found["checks"]),
        "Entries",
        *_entries(found["entries"], transaction["amount"]["currency"]),
        "Seal",
        *_seal(found["seal"]),
        "Event",
        *_event(found),
        "Deliveries",
        *_deliveries(found),
    ]
    return [clean(line) for line in lines]


def _line(name: str, value: Any) -> list[str]:
    return [] if value in {None, ""} else [f"  {name:<{_WIDTH}}{value}"]


def _person(user: Mapping[str, Any] | None) -> str:
    if user is None:
        return "the bank"
    return (
        f"{user['display_name']} ({user['user_id']})" if user["display_name"] else f"user {user['user_id']}"
    )


def _asked_from(found: Mapping[str, Any]) -> list[str]:
    audit = found["audit"]
    if audit is None:
        return _line("made from", found["missing"].get("audit"))
    return [
        *_line("made from", f"address {audit['address']}, request {audit['request_id']}"),
        *_line("carried out", f"{audit['actor']['display_name']}, {audit['actor']['role']}"),
        *_line("first person", ((audit["approval"] or {}).get("requested_by") or {}).get("display_name")),
        *_line("audit", f"record {audit['seq']}"),
    ]


def _checks(checks: Sequence[Mapping[str, Any]]) -> list[str]:
    if not checks:
        return ["  nothing that concerns you"]
    return [
        f"  {'passed' if check['passed'] else 'refused':<{_WIDTH}}{check['rule']}: {check['finding']}"
        for check in checks
    ]


def _entries(entries: Sequence[Mapping[str, Any]], currency: str) -> list[str]:
    lines = [f"  {'account':<16}{'number':>8}{'amount':>16}{'before':>16}{'after':>16} {currency}"]
    for entry in entries:
        number = "-" if entry["sequence"] is None else str(entry["sequence"])
        figures = f"{entry['amount']:>16}{entry['balance_before']:>16}{entry['balance_after']:>16}"
        lines.append(f"  {entry['account_id']:<16}{number:>8}{figures}")
        if entry["owner"]:
            lines.append(f"    {_person(entry['owner'])}")
    return lines if entries else ["  none"]


def _seal(seal: Mapping[str, Any] | None) -> list[str]:
    if seal is None:
        return ["  none"]
    return [*_line("number", f"{seal['number']}, {seal['sealed_at']}"), *_line("hash", seal["hash"])]


def _event(found: Mapping[str, Any]) -> list[str]:
    event = found["event"]
    if event is None:
        return [f"  {found['missing'].get('event', 'none')}"]
    return [
        *_line("topic", f"{event['type']}, partition {event['partition']}, offset {event['offset']}"),
        *_line("recorded", f"{event['received_at']}, position {event['position']}"),
    ]


def _deliveries(found: Mapping[str, Any]) -> list[str]:
    deliveries = found["deliveries"]
    if deliveries is None:
        return [f"  {found['missing'].get('deliveries', 'none')}"]
    lines = []
    for one in deliveries:
        when = one["settled_at"] or (f"next try {one['due_at']}" if one["due_at"] else "")
        attempts = f"{one['attempts']} attempt{'' if one['attempts'] == 1 else 's'}"
        lines.append(f"  {one['state']:<{_WIDTH}}{one['channel']} to {one['recipient']}")
        lines.append(f"  {'':<{_WIDTH}}{attempts}, {when}".rstrip(", "))
        lines += _line("", one["fault"])
    return lines or ["  none is owed"]
