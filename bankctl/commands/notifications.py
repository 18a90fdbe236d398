"""notifications list, prefs, test."""

import re
from typing import Annotated, Any

import typer

from bankctl.client.bank import open_bank
from bankctl.commands.accounts import All, Limit
from bankctl.errors import usage_error
from bankctl.render import messages
from bankctl.render.column import Column
from bankctl.render.output import emit
from daemons.contracts.names import Language, NoticeType, Severity

app = typer.Typer(
    help="""What you are told, and what you want to hear of.

Examples:
  bankctl notifications list
  bankctl notifications prefs --events money_in,refused --threshold EUR=100
"""
)

_NONE = "none"
_HOURS = re.compile(r"(\d\d:\d\d)-(\d\d:\d\d)")
_OWN = [
    Column("created_at", "Time"),
    Column("channel", "Channel"),
    Column("state", "State"),
    Column("subject", "Subject"),
]
_OPERATIONS = [
    Column("created_at", "Time"),
    Column("severity", "Severity"),
    Column("event_type", "Event"),
    Column("text", "Text"),
]
_PREFERENCES = [
    Column("events", "Events"),
    Column("channels", "Channels"),
    Column("thresholds", "Thresholds"),
    Column("quiet_hours.begin", "Quiet from"),
    Column("quiet_hours.end", "Quiet until"),
    Column("zone", "Zone"),
    Column("language", "Language"),
]


@app.command("list")
def list_notifications(
    *,
    operations: Annotated[
        bool, typer.Option("--operations", help="Those of the whole bank (support staff).")
    ] = False,
    severity: Annotated[
        Severity | None, typer.Option("--severity", help="Of the whole bank's, only those.")
    ] = None,
    limit: Limit = 50,
    everything: All = False,
) -> None:
    """List what you were told, newest first.

    Examples:
      bankctl notifications list
      bankctl notifications list --operations --severity warning -o jsonl
    """
    most = None if everything else limit
    with open_bank() as bank:
        if operations or severity is not None:
            found = bank.notifications.of_operations(severity=severity, limit=most)
            emit(found, columns=_OPERATIONS, title="Notifications of the bank")
        else:
            emit(bank.notifications.own(limit=most), columns=_OWN, title="Notifications")


@app.command()
def prefs(
    *,
    events: Annotated[
        str | None,
        typer.Option(
            "--events", metavar="LIST", help=f"Of {', '.join(one.value for one in NoticeType)}; or none."
        ),
    ] = None,
    channels: Annotated[
        str | None, typer.Option("--channels", metavar="LIST", help="Such as email; or none.")
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option("--threshold", metavar="CURRENCY=AMOUNT", help="Tell of no payment below; repeatable."),
    ] = None,
    quiet_hours: Annotated[
        str | None,
        typer.Option("--quiet-hours", metavar="HH:MM-HH:MM", help="For what can wait; or none."),
    ] = None,
    zone: Annotated[str | None, typer.Option("--zone", help="Your time zone.")] = None,
    language: Annotated[Language | None, typer.Option("--language", help="Of messages to you.")] = None,
) -> None:
    """Show what you want to hear of, or change it.

    Examples:
      bankctl notifications prefs
      bankctl notifications prefs --events money_in,money_out,refused --threshold EUR=100
      bankctl notifications prefs --quiet-hours 22:00-07:00 --zone Europe/Prague --language cs
      bankctl notifications prefs --threshold EUR=none --quiet-hours none

    What concerns the security of your accounts is sent whatever stands here.
    """
    with open_bank() as bank:
        change = _change(events, channels, quiet_hours, zone, language)
        if threshold:
            change["thresholds"] = _thresholds(bank.notifications.preferences()["thresholds"], threshold)
        found = bank.notifications.change_preferences(change) if change else bank.notifications.preferences()
        emit(found, columns=_PREFERENCES)
    if change:
        messages.success("kept; it counts for what happens from now on")


@app.command()
def test() -> None:
    """Send yourself a message to see how messages reach you.

    Examples:
      bankctl notifications test
    """
    with open_bank() as bank:
        emit(
            bank.notifications.test(),
            columns=[Column("delivery_id", "Delivery"), Column("channel", "Channel")],
        )
    messages.success("on its way; `bankctl notifications list` shows whether it went out")


def _change(
    events: str | None, channels: str | None, quiet: str | None, zone: str | None, language: Language | None
) -> dict[str, Any]:
    change: dict[str, Any] = {}
    if events is not None:
        change["events"] = _names(events)
    if channels is not None:
        change["channels"] = _names(channels)
    if quiet is not None:
        change["quiet_hours"] = None if quiet == _NONE else _hours(quiet)
    if zone is not None:
        change["zone"] = zone
    if language is not None:
        change["language"] = language.value
    return change


def _names(text: str) -> list[str]:
    return [] if text == _NONE else [name.strip() for name in text.split(",") if name.strip()]


def _hours(text: str) -> dict[str, str]:
    found = _HOURS.fullmatch(text)
    if found is None:
        raise usage_error(
            f"--quiet-hours {text} is not of the form HH:MM-HH:MM", hint="such as 22:00-07:00, or none"
        )
    return {"begin": found[1], "end": found[2]}


def _thresholds(before: dict[str, str], given: list[str]) -> dict[str, str]:
    after = dict(before)
    for item in given:
        currency, _, amount = item.partition("=")
        if not currency or not amount:
            raise usage_error(
                f"--threshold {item} is not of the form CURRENCY=AMOUNT", hint="such as EUR=100, or EUR=none"
            )
        after.pop(currency.upper(), None)
        if amount != _NONE:
            after[currency.upper()] = amount
    return after
