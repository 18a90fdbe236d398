"""events tail, history, show, types; filters; `top` is in a file of its own."""

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from bankctl import invocation
from bankctl.client.bank import open_bank
from bankctl.client.event_filter import EventFilter, checked_types
from bankctl.client.event_stream import Following, Watcher, follow
from bankctl.commands.accounts import All, Limit
from bankctl.commands.event_options import (
    AtLeast,
    Failures,
    From,
    Kept,
    OfAccount,
    OfUser,
    Save,
    Since,
    Types,
    checked_event_id,
    chosen_filter,
    filters,
    with_user_id,
)
from bankctl.commands.events_top import top
from bankctl.errors import CliError, usage_error
from bankctl.invocation import OutputFormat
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
  bankctl events tail --failures --since 2h
  bankctl events history --type TransactionFailed
"""
)
app.add_typer(filters, name="filters")
app.command()(top)

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


@app.command()
def tail(
    *,
    event_type: Types = None,
    account: OfAccount = None,
    user: OfUser = None,
    min_amount: AtLeast = None,
    failures: Failures = False,
    since: Since = None,
    first: From = None,
    after: Annotated[
        int | None, typer.Option("--after", metavar="POSITION", help="Start after this event.")
    ] = None,
    since_start: Annotated[bool, typer.Option("--since-start", help="Start with the first event.")] = False,
    kept: Kept = None,
    save: Save = None,
    count: Annotated[int | None, typer.Option("--count", metavar="N", help="Stop after N events.")] = None,
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", help="How long to wait for a lost bank.")
    ] = 60.0,
    broker: Annotated[
        str | None,
        typer.Option("--broker", metavar="HOST:PORT", help="Read Kafka itself, not the bank's stream."),
    ] = None,
    broker_user: Annotated[
        str | None, typer.Option("--broker-user", metavar="NAME", help="Account at Kafka (KAFKA_USERNAME).")
    ] = None,
    broker_mechanism: Annotated[
        str | None,
        typer.Option("--broker-mechanism", metavar="SASL", help="Such as SCRAM-SHA-512 (KAFKA_MECHANISM)."),
    ] = None,
    broker_tls: Annotated[
        bool, typer.Option("--broker-tls", help="Talk TLS to Kafka (KAFKA_SECURITY=ssl or sasl_ssl).")
    ] = False,
    broker_ca: Annotated[
        Path | None,
        typer.Option("--broker-ca", metavar="FILE", help="Trust this certificate (KAFKA_CA_FILE)."),
    ] = None,
) -> None:
    """Show events as they happen, one line each, until Ctrl-C.

    Examples:
      bankctl events tail
      bankctl events tail --since 2h --type TransactionFailed --account 4000000006
      bankctl events tail --user ann@example.com --min-amount 1000 --save ann-large
      bankctl events tail --since-start --count 100 -o json > events.jsonl
      bankctl events tail --broker kafka.example:9093 --broker-tls --broker-user auditor

    The bank applies the filters. A lost connection is resumed where it broke off, without repeating or
    skipping events. Exits 8 if the bank stays away for longer than --wait, 4 if the session ended, 130 after
    Ctrl-C. It also ends when the program that reads its output ends.

    With --broker no bank is asked: the records on Kafka are read, in no consumer group, and filtered here.
    The password of --broker-user is read from KAFKA_PASSWORD.
    """
    beginnings = [after is not None, since_start, first is not None, broker is None and since is not None]
    if sum(beginnings) > 1:
        raise usage_error("--after, --since-start, --from and --since exclude each other")
    if after is not None and after < 0:
        raise usage_error("--after takes a position, 0 or more")
    if count is not None and count < 1:
        raise usage_error("--count takes a number of events, 1 or more")
    if invocation.current().output is OutputFormat.CSV:
        raise usage_error("a stream cannot be CSV", hint="use -o jsonl, or `bankctl events history -o csv`")
    first = None if first is None else checked_event_id(first)
    wanted = chosen_filter(
        EventFilter(event_type, account, user, min_amount, failures, since), kept=kept, save=save
    )
    if broker is not None:
        if after is not None or first is not None:
            raise usage_error("Kafka knows no positions of the bank", hint="use --since or --since-start")
        if wanted.user is not None and "@" in wanted.user:
            raise usage_error("Kafka knows no e-mail addresses", hint="give --user the user's id")
        from bankctl.client.broker import BrokerOptions, follow_broker  # noqa: PLC0415  # loads Kafka's client

        options = BrokerOptions.of_environment(
            broker, user=broker_user, mechanism=broker_mechanism, tls=broker_tls, ca_file=broker_ca
        )
        _show_stream(follow_broker(options, wanted, since_start=since_start, wait_seconds=wait), count)
        return
    with open_bank() as bank:
        wanted = with_user_id(bank, wanted)
        if since_start:
            after = 0
        elif after is None and first is None and wanted.since is None:
            # A line that is lost before the first event must be taken up where it began.
            after = bank.events.latest_position()
        say = _Said(wanted.words())
        watcher = Watcher(_say_lost, _say_lagging, say.position)
        _show_stream(follow(bank.events, Following(wanted, after, first, wait), watcher), count)


def _show_stream(events: Iterator[dict[str, Any]], count: int | None) -> None:
    run = invocation.current()
    as_json = run.machine_readable or run.query is not None
    with end_with_reader():
        for event in islice(events, count):
            if as_json:
                emit_event(event)
            else:
                emit_line(event_line(event))


class _Said:
    """Says once what is followed, and how far behind that is, until it has caught up."""

    def __init__(self, words: str) -> None:
        self._words = words
        self._is_open = self._was_behind = False

    def position(self, position: int, last_position: int) -> None:
        """Take note of how far the reader has come, and how far the bank."""
        behind = last_position - position
        if not self._is_open:
            after = f"following {self._words} after position {position}"
            messages.note(f"{after}{f', {behind:,} events behind' if behind else ''}; Ctrl-C ends it")
        elif behind and not self._was_behind:
            messages.note(f"{behind:,} events behind")
        elif self._was_behind and not behind:
            messages.note(f"caught up at position {position}")
        self._is_open, self._was_behind = True, behind > 0


@app.command()
def history(
    *,
    event_type: Types = None,
    account: OfAccount = None,
    user: OfUser = None,
    min_amount: AtLeast = None,
    failures: Failures = False,
    since: Since = None,
    first: From = None,
    kept: Kept = None,
    save: Save = None,
    order: Annotated[
        EventOrder, typer.Option("--order", help="Oldest or newest first.")
    ] = EventOrder.NEWEST_FIRST,
    limit: Limit = 50,
    everything: All = False,
) -> None:
    """List past events.

    Examples:
      bankctl events history --limit 20
      bankctl events history --since 7d --user ann@example.com --failures
      bankctl events history --account 4000000006 --order asc --all -o jsonl
    """
    first = None if first is None else checked_event_id(first)
    wanted = chosen_filter(
        EventFilter(event_type, account, user, min_amount, failures, since), kept=kept, save=save
    )
    with open_bank() as bank:
        found = bank.events.history(
            with_user_id(bank, wanted), first=first, order=order, limit=None if everything else limit
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
                Column("id", "Id", rank=3),
            ],
            title="Events",
        )


@app.command()
def show(
    event_id: Annotated[
        str, typer.Argument(metavar="ID", help="The event's id; that of a transaction is its event's.")
    ],
) -> None:
    """Show one event in full, with its place on Kafka.

    Examples:
      bankctl events show 01890a5d-ac96-774b-bcce-b302099a8057
      bankctl events show 01890a5d-ac96-774b-bcce-b302099a8057 -o json --query data
    """
    wanted = checked_event_id(event_id)
    with open_bank() as bank:
        event = bank.events.show(wanted)
        run = invocation.current()
        if run.query is not None or run.output in {OutputFormat.JSON, OutputFormat.JSONL}:
            emit(event)
            return
        place = f"{event['type']}, partition {event['partition']}, offset {event['offset']}"
        emit(
            {**event_row(event), **event, "place": place},
            columns=[
                Column("id", "Id"),
                Column("type", "Type"),
                Column("time", "Happened"),
                Column("amount", "Amount"),
                Column("from", "From"),
                Column("to", "To"),
                Column("note", "Note"),
                Column("data.initiated_by.display_name", "Asked for by"),
                Column("severity", "Severity"),
                Column("place", "Topic"),
                Column("key", "Key"),
                Column("received_at", "Recorded"),
                Column("position", "Position"),
            ],
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
    return None if given is None else checked_types(given.replace(",", " "))


def _say_lost(error: CliError) -> None:
    messages.note(f"{error.message}; resuming the stream")


def _say_lagging(events: int) -> None:
    messages.warn(f"this reader is {events} events behind; none is skipped")
