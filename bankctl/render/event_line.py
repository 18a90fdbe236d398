"""One event as one line."""

import sys
from collections.abc import Mapping
from typing import Any

from bankctl.render.messages import styled
from bankctl.render.text import clean
from bankctl.streams import holds_unicode
from daemons.contracts.names import EventType

_STYLES: Mapping[str, str] = {
    EventType.TRANSACTION_COMPLETED: "green",
    EventType.TRANSACTION_FAILED: "red",
    EventType.ACCOUNT_FUNDED: "green",
    EventType.ACCOUNT_ADJUSTED: "yellow",
    EventType.ACCOUNT_CHANGED: "yellow",
    EventType.USER_REGISTERED: "cyan",
    EventType.USER_CHANGED: "cyan",
}
_TYPE_WIDTH = max(len(name) for name in _STYLES)


def event_row(event: Mapping[str, Any]) -> dict[str, Any]:
    """What people want to know of an event: when, what, how much, from whom to whom, and why not."""
    data = event.get("data") or {}
    amount = data.get("amount") or {}
    return {
        "position": event.get("position"),
        "id": event.get("id"),
        "time": event.get("time"),
        "type": event.get("type"),
        "amount": f"{amount['amount']} {amount['currency']}" if amount else None,
        **_sides(event.get("type"), data),
    }


def _sides(event_type: Any, data: Mapping[str, Any]) -> dict[str, Any]:
    """`from`, `to` and `note`, as they are of each type."""
    if event_type == EventType.ACCOUNT_CHANGED:
        owner = (data.get("owner") or {}).get("display_name")
        return {
            "from": _named(owner, data.get("account_id")),
            "to": data.get("change"),
            "note": data.get("reason"),
        }
    if event_type in {EventType.USER_REGISTERED, EventType.USER_CHANGED}:
        by = (data.get("initiated_by") or {}).get("display_name")
        note = f"{data.get('role')}, {data.get('status')}"
        return {
            "from": f"{data.get('display_name')} <{data.get('email')}>",
            "to": ", ".join(map(str, data.get("changes") or ["registered"])),
            "note": f"{note}; by {by}" if by else note,
        }
    if event_type == EventType.ACCOUNT_ADJUSTED:
        account = _party(data.get("account"))
        credit = data.get("direction") == "credit"
        corrects = f"corrects {data['corrects']}" if data.get("corrects") else None
        return {
            "from": "the bank" if credit else account,
            "to": account if credit else "the bank",
            "note": "; ".join(str(text) for text in (data.get("reason"), corrects) if text) or None,
        }
    failure = data.get("failure") or {}
    why = failure.get("detail") or failure.get("code")
    notes = [str(text) for text in (data.get("description"), why, data.get("reference")) if text]
    return {
        "from": _party(data.get("sender")) if "sender" in data else "outside",
        "to": _party(data.get("receiver")),
        "note": "; ".join(notes) or None,
    }


def event_line(event: Mapping[str, Any]) -> str:
    """The event on one line, in colour if stdout gets any."""
    row = {name: clean(value) if value is not None else "" for name, value in event_row(event).items()}
    arrow = "→" if holds_unicode(sys.stdout) else "->"
    kind = styled(row["type"].ljust(_TYPE_WIDTH), _STYLES.get(row["type"], "bold"), sys.stdout)
    parties = f"{row['from']} {arrow} {row['to']}"
    line = f"{styled(row['time'], 'dim', sys.stdout)}  {kind}  {row['amount']:>14}  {parties}"
    note = f"  {row['note']}" if row["note"] else ""
    return f"{line}{note}  {styled(row['id'], 'dim', sys.stdout)}"


def _party(party: Mapping[str, Any] | None) -> str:
    if not party:
        return "?"
    if not str(party.get("account_id")).isdigit():
        # Of the bank's own accounts one stands for the world outside.
        return "outside" if str(party.get("account_id")).startswith("settlement:") else "the bank"
    return _named((party.get("owner") or {}).get("display_name"), party.get("account_id"))


def _named(name: Any, account_id: Any) -> str:
    return f"{name} ({account_id})" if name else str(account_id)
