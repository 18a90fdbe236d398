"""events top."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from bankctl import invocation
from bankctl.client.bank import BankClient, open_bank
from bankctl.errors import CliError, ExitStatus, usage_error
from bankctl.installation import how_to_install
from bankctl.invocation import OutputFormat
from bankctl.render.event_line import event_row
from bankctl.render.output import emit, emit_text
from bankctl.render.section import Section, as_text
from bankctl.render.text import displayable
from bankctl.streams import holds_unicode

_AWAY = {ExitStatus.FORBIDDEN, ExitStatus.UNREACHABLE}
"""Why one half of the overview may be missing, without the other being worth less."""
_LONG_SECONDS = 60.0
"""What waits for longer than this is shown as a fault."""
_DAY_SECONDS = 86_400


def top(
    *,
    once: Annotated[bool, typer.Option("--once", help="Print it once and end; needs no terminal.")] = False,
    window: Annotated[
        int,
        typer.Option("--window", metavar="SECONDS", min=1, max=3600, help="Over how long rates are taken."),
    ] = 60,
    every: Annotated[
        float,
        typer.Option("--every", metavar="SECONDS", min=0.5, max=3600, help="How often to ask the bank."),
    ] = 2.0,
) -> None:
    """Show rates, failures and lags of events on one screen, until q or Ctrl-C.

    Examples:
      bankctl events top
      bankctl events top --once
      bankctl events top --once --window 600 -o json --query reasons

    Events by type, why transactions were refused, what waits at the relay, at the consumer and to be
    delivered, and the last failures. The screen needs the package textual, which is the extra `top`; --once
    does not. Exits 130 after Ctrl-C, 4 if the session ended; a bank that is away is asked again.
    """
    run = invocation.current()
    if once:
        with open_bank() as bank:
            _show_once(overview(bank, window))
        return
    if run.machine_readable or run.query is not None:
        raise usage_error("the screen is for people", hint="add --once to get JSON or CSV")
    streams = (sys.__stdin__, sys.__stdout__, sys.__stderr__)
    if not all(map(invocation.is_terminal, streams)) or os.environ.get("TERM", "dumb") == "dumb":
        raise usage_error("the screen needs a terminal", hint="use --once")
    if not holds_unicode(sys.__stdout__):
        raise usage_error("the screen needs a terminal with UTF-8", hint="set LANG, or use --once")
    show = _screen()
    with open_bank() as bank:
        # Nobody who is not logged in sees an empty screen first.
        profile = bank.profile

    @contextmanager
    def reader() -> Iterator[Callable[[], list[Section]]]:
        with open_bank() as bank:
            yield lambda: sections(overview(bank, window))

    show(
        reader,
        title=f"Events of {profile.name} at {profile.url}",
        every_seconds=every,
        colored=run.colored(sys.__stdout__),
    )


def _screen() -> Callable[..., None]:
    try:
        from bankctl.render.screen import show_screen  # noqa: PLC0415  # an extra, and slow to load
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "textual":
            raise
        raise CliError(
            "the screen needs the package textual, which is not installed",
            exit_status=ExitStatus.UNEXPECTED,
            hint=f"install it with: {how_to_install('top')}; or use --once",
            code="textual_missing",
        ) from None
    return show_screen


def overview(bank: BankClient, window: int) -> dict[str, Any]:
    """Join what notifier and banking_api answer; what one of them cannot say is named under `missing`.

    Raises:
        CliError: neither can be asked.
    """
    missing: dict[str, str] = {}
    faults: list[CliError] = []

    def part(name: str, ask: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        try:
            return ask()
        except CliError as error:
            if error.exit_status not in _AWAY:
                raise
            faults.append(error)
            missing[name] = error.message
            return None

    summary = part("events", lambda: bank.events.summary(window))
    relay = part("relay", bank.transactions.outbox)
    if summary is None and relay is None:
        raise faults[0]
    return {"events": summary, "relay": relay, "missing": missing}


def sections(found: Mapping[str, Any]) -> list[Section]:
    """The overview as people read it, the most important first."""
    summary, missing = found["events"], found["missing"]
    if summary is None:
        return [Section("Events", note=missing["events"], alarm=True), _relay_alone(found)]
    return [
        _rates(summary),
        _lags(found, summary),
        _reasons(summary),
        _undelivered(summary),
        _last_failures(summary),
    ]


def _rates(summary: Mapping[str, Any]) -> Section:
    window = summary["window_seconds"]
    rows = [
        _rate(one["type"], one["count"], window, is_least=one["count"] >= summary["counted_up_to"])
        for one in summary["events"]
        if one["count"]
    ]
    if rows:
        rows.append(_rate("all", summary["total"], window))
    return Section(
        "Events",
        headings=("Type", f"In {_length(window)}", "A second"),
        rows=rows,
        right=frozenset({1, 2}),
        note=f"none in the last {_length(window)}",
    )


def _rate(name: str, count: int, window: int, *, is_least: bool = False) -> tuple[str, str, str]:
    """How many, and how many a second; more than that if no further ones were counted."""
    mark = "+" if is_least else ""
    return (name, f"{count:,}{mark}", f"{count / window:,.1f}{mark}")


def _lags(found: Mapping[str, Any], summary: Mapping[str, Any]) -> Section:
    relay, alarm = _relay(found)
    waiting = summary["waiting"]
    records = sum(one["records"] for one in waiting or [])
    topics = ", ".join(f"{one['topic']} {one['records']:,}" for one in waiting or [] if one["records"])
    told = "Kafka does not answer" if waiting is None else topics or "nothing waits"
    rows = [
        relay,
        ("consumer", "?" if waiting is None else f"{records:,}", told),
        ("recorded", f"{summary['position']:,}", _newest(summary)),
        *(_backlog(one) for one in summary["deliveries"]),
    ]
    alarm = alarm or waiting is None or any(_is_late(one) for one in summary["deliveries"])
    if not summary["deliveries"]:
        rows.append(("deliveries", "0", "nothing waits"))
    return Section(
        "Waiting", headings=("Where", "How many", ""), rows=rows, right=frozenset({1}), alarm=alarm
    )


def _relay(found: Mapping[str, Any]) -> tuple[tuple[str, str, str], bool]:
    outbox = found["relay"]
    if outbox is None:
        return ("relay", "?", found["missing"]["relay"]), True
    age, failure = outbox["oldest_age_seconds"], outbox["relay"]["failure"]
    told = "nothing waits" if age is None else f"the oldest for {_length(age)}"
    if outbox["relay"]["lease_holder"] is None:
        told, failure = "nobody publishes", failure or "nobody publishes"
    elif failure is not None:
        told = f"{told}; {failure}"
    is_late = age is not None and age > _LONG_SECONDS
    return ("relay", f"{outbox['pending_events']:,}", told), failure is not None or is_late


def _relay_alone(found: Mapping[str, Any]) -> Section:
    relay, alarm = _relay(found)
    return Section(
        "Waiting", headings=("Where", "How many", ""), rows=[relay], right=frozenset({1}), alarm=alarm
    )


def _newest(summary: Mapping[str, Any]) -> str:
    if summary["newest_at"] is None:
        return "nothing yet"
    return (
        f"the newest at {_clock(summary['newest_at'])}, {_length(summary['newest_delay_seconds'])} after it"
    )


def _backlog(one: Mapping[str, Any]) -> tuple[str, str, str]:
    failing = f"{one['failing']:,} failing, " if one["failing"] else ""
    return (
        one["channel"],
        f"{one['unsettled']:,}",
        f"{failing}the oldest for {_length(one['oldest_age_seconds'])}",
    )


def _is_late(one: Mapping[str, Any]) -> bool:
    return bool(one["failing"]) or one["oldest_age_seconds"] > _LONG_SECONDS


def _reasons(summary: Mapping[str, Any]) -> Section:
    rows = [(one["code"], f"{one['count']:,}") for one in summary["reasons"]]
    return Section("Refused, by reason", headings=("Reason", "How many"), rows=rows, right=frozenset({1}))


def _undelivered(summary: Mapping[str, Any]) -> Section:
    rows = [
        (
            _clock(one["created_at"]),
            one["channel"],
            one["state"].replace("_", " "),
            f"{one['attempts']}",
            one["fault"] or "",
        )
        for one in summary["last_undelivered"]
    ]
    return Section(
        "Last not delivered",
        headings=("Since", "Channel", "State", "Tries", "Why not"),
        rows=rows,
        right=frozenset({3}),
        alarm=any(one["state"] == "failed" for one in summary["last_undelivered"]),
    )


def _last_failures(summary: Mapping[str, Any]) -> Section:
    rows = []
    for event in summary["last_failures"]:
        row = event_row(event)
        code = (event["data"].get("failure") or {}).get("code")
        rows.append((_clock(event["time"]), row["amount"] or "", str(code), f"{row['from']} to {row['to']}"))
    return Section(
        "Last refused", headings=("Time", "Amount", "Reason", "From, to"), rows=rows, right=frozenset({1})
    )


def measures(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The figures of the overview, one a row, for CSV."""

    def row(measure: str, of: str | None, value: Any) -> dict[str, Any]:
        return {"measure": measure, "of": of, "value": value}

    summary, outbox = found["events"], found["relay"]
    if outbox is not None:
        yield row("relay_waiting_events", None, outbox["pending_events"])
        yield row("relay_oldest_seconds", None, outbox["oldest_age_seconds"])
    if summary is None:
        return
    yield row("position", None, summary["position"])
    yield row("events_total", None, summary["total"])
    yield row("newest_delay_seconds", None, summary["newest_delay_seconds"])
    for one in summary["events"]:
        yield row("events", one["type"], one["count"])
        yield row("events_per_second", one["type"], round(one["count"] / summary["window_seconds"], 3))
    for one in summary["reasons"]:
        yield row("refused", one["code"], one["count"])
    for one in summary["waiting"] or []:
        yield row("consumer_waiting_records", one["topic"], one["records"])
    for one in summary["deliveries"]:
        yield row("deliveries_unsettled", one["channel"], one["unsettled"])
        yield row("deliveries_failing", one["channel"], one["failing"])
        yield row("deliveries_oldest_seconds", one["channel"], one["oldest_age_seconds"])


def _show_once(found: Mapping[str, Any]) -> None:
    run = invocation.current()
    if run.output is OutputFormat.CSV and run.query is None:
        emit(list(measures(found)), columns=["measure", "of", "value"])
    elif run.machine_readable or run.query is not None:
        emit(found)
    else:
        emit_text(displayable("\n".join(as_text(sections(found))), sys.stdout))


def _length(seconds: float) -> str:
    """A length of time in the unit that fits it."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for unit, length in (("d", _DAY_SECONDS), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.3g} s"


def _clock(instant: str) -> str:
    """A time of the last day by the clock here, an earlier one with its date."""
    local = datetime.fromisoformat(instant).astimezone()
    is_recent = (datetime.now(UTC) - local).total_seconds() < _DAY_SECONDS
    return local.strftime("%H:%M:%S" if is_recent else "%Y-%m-%d %H:%M")
