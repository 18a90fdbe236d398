"""events tail, history, types."""

from collections.abc import Mapping
from itertools import islice
from typing import Annotated

import typer

from bankctl import invocation
from bankctl.client.bank import open_bank
from bankctl.client.event_stream import Following, follow
from bankctl.commands.accounts import All, Limit
from bankctl.errors import CliError, usage_error
from bankctl.invocation import OutputFormat
from bankctl.money import parse_account
from bankctl.render import messages
from bankctl.render.column import Column
from bankctl.render.event_line import event_line, event_row
from bankctl.render.output import emit, emit_event, emit_line
from bankctl.streams import end_with_reader
from daemons.contracts.names import EventOrder, EventType

app = typer.Typer(
    help="""Follow what happens in the bank (support staff).

Examples:
  bankctl events tail
  bankctl events history --type TransactionFailed
"""
)

EVENT_TYPES: Mapping[str, str] = {
    EventType.TRANSACTION_COMPLETED: "money moved between two accounts",
    EventType.TRANSACTION_FAILED: "a transfer was refused; no money moved",
    EventType.ACCOUNT_FUNDED: "an account was credited from outside the bank",
    EventType.ACCOUNT_ADJUSTED: "the bank corrected an account's balance",
    EventType.ACCOUNT_CHANGED: "an account was opened, renamed, frozen, unfrozen or closed, or changed its "
    "type",
    EventType.USER_REGISTERED: "somebody registered or was added by the bank",
    EventType.USER_CHANGED: "a user's name, address, role, status, second factor or password changed",
}

Types = Annotated[
    str | None, typer.Option("--type", metavar="A,B", help="Only these types (see `events types`).")
]
OfAccount = Annotated[
    str | None, typer.Option("--account", metavar="ACCOUNT", help="Only events that concern this account.")
]


@app.command()
def tail(
    *,
    event_type: Types = None,
    account: OfAccount = None,
    after: Annotated[
        int | None, typer.Option("--after", metavar="POSITION", help="Start after this event.")
    ] = None,
    since_start: Annotated[bool, typer.Option("--since-start", help="Start with the first event.")] = False,
    count: Annotated[int | None, typer.Option("--count", metavar="N", help="Stop after N events.")] = None,
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", help="How long to wait for a lost bank.")
    ] = 60.0,
) -> None:
    """Show events as they happen, one line each, until Ctrl-C.

    Examples:
      bankctl events tail
      bankctl events tail --type TransactionFailed --account 4000000006
      bankctl events tail --since-start --count 100 -o json > events.jsonl

    A lost connection is resumed where it broke off, without repeating or skipping events. Exits 8 if the bank
    stays away for longer than --wait, 4 if the session ended, 130 after Ctrl-C. It also ends when the program
    that reads its output ends.
    """
    if after is not None and since_start:
        raise usage_error("--after and --since-start exclude each other")
    if after is not None and after < 0:
        raise usage_error("--after takes a position, 0 or more")
    if count is not None and count < 1:
        raise usage_error("--count takes a number of events, 1 or more")
    types_wanted, number = _checked_types(event_type), parse_account(account) if account else None
    run = invocation.current()
    if run.output is OutputFormat.CSV:
        raise usage_error("a stream cannot be CSV", hint="use -o jsonl, or `bankctl events history -o csv`")
    as_json = run.machine_readable or run.query is not None
    with open_bank() as bank:
        # A line that is lost before the first event must be taken up where it began.
        position = 0 if since_start else bank.events.latest_position() if after is None else after
        following = Following(types_wanted, number, position, wait)
        news = follow(bank.events, following, on_lost=_say_lost, on_lagging=_say_lagging)
        messages.note(f"following events after position {position}; Ctrl-C ends it")
        with end_with_reader():
            for event in islice(news, count):
                if as_json:
                    emit_event(event)
                else:
                    emit_line(event_line(event))


@app.command()
def history(
    *,
    event_type: Types = None,
    account: OfAccount = None,
    order: Annotated[
        EventOrder, typer.Option("--order", help="Oldest or newest first.")
    ] = EventOrder.NEWEST_FIRST,
    limit: Limit = 50,
    everything: All = False,
) -> None:
    """List past events.

    Examples:
      bankctl events history --limit 20
      bankctl events history --account 4000000006 --order asc --all -o jsonl
    """
    types, number = _checked_types(event_type), parse_account(account) if account else None
    with open_bank() as bank:
        found = bank.events.history(
            event_type=types, account=number, order=order, limit=None if everything else limit
        )
        run = invocation.current()
        if run.query is not None or run.output in {OutputFormat.JSON, OutputFormat.JSONL}:
            emit(found)
            return
        emit(
            [event_row(event) for event in found],
            columns=[
                Column("position", "Position", "right", rank=1),
                Column("time", "Time"),
                Column("type", "Type", cut=True),
                Column("amount", "Amount", "right"),
                Column("from", "From", cut=True),
                Column("to", "To", cut=True),
                Column("note", "Note", rank=2, cut=True),
            ],
            title="Events",
        )


@app.command()
def types() -> None:
    """List the types of event.

    Examples:
      bankctl events types
    """
    rows = [{"type": name, "meaning": meaning} for name, meaning in EVENT_TYPES.items()]
    emit(rows, columns=["type", "meaning"])


def checked_type(given: str | None) -> str | None:
    """Return the type of event that an option named.

    Raises:
        CliError: there is no such type.
    """
    if given is not None and given not in EVENT_TYPES:
        raise _unknown_type(given)
    return given


def _checked_types(given: str | None) -> str | None:
    if given is None:
        return None
    names = [name.strip() for name in given.split(",") if name.strip()]
    unknown = [name for name in names if name not in EVENT_TYPES]
    if unknown or not names:
        raise _unknown_type(", ".join(unknown) or repr(given))
    return ",".join(names)


def _unknown_type(named: str) -> CliError:
    return usage_error(
        f"there is no event type {named}",
        hint=f"the types are {', '.join(EVENT_TYPES)}",
        code="unknown_event_type",
    )


def _say_lost(error: CliError) -> None:
    messages.note(f"{error.message}; resuming the stream")


def _say_lagging(events: int) -> None:
    messages.warn(f"this reader is {events} events behind; none is skipped")
