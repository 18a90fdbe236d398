"""admin events: republish events lost in Kafka; give up events that the database has lost."""

from collections.abc import Iterable, Iterator
from itertools import islice, takewhile
from typing import Annotated, Any

import typer

from bankctl import prompts
from bankctl.client.bank import open_bank
from bankctl.errors import usage_error
from bankctl.render import messages
from bankctl.render.column import Column
from bankctl.render.output import emit
from bankctl.render.progress import phases
from bankctl.times import parse_instant
from daemons.contracts.vocabulary import IDS_LIMIT

app = typer.Typer(
    help="""For operators: publish lost events again, or give them up.

Examples:
  bankctl admin events republish --missing --reason "Kafka's disk was lost"
  bankctl admin events give-up --reason "restored from the backup of 12:00"
"""
)

_COLUMNS = [
    Column("examined", "Transactions", "right"),
    Column("missing", "Missing at the notifier", "right"),
    Column("republished", "Republished", "right"),
]


@app.command(name="republish")
def republish(
    *,
    missing: Annotated[
        bool, typer.Option("--missing", help="Only events that the notifier has not recorded.")
    ] = False,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Only events from this time on.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the act.")],
) -> None:
    """Publish the events of transactions again, from the journal (operators).

    Examples:
      bankctl admin events republish --missing --reason "Kafka's disk was lost"
      bankctl admin events republish --missing --since 2026-11-01 --reason "restored from a backup"
      bankctl admin events republish --since 2026-11-29T09:00Z --reason "another consumer lost them"

    `bankctl admin prove` shows whether events are missing. They are published under their old ids, so
    consumers that have them ignore them. AccountChanged events are not included.
    """
    if not missing and since is None:
        raise usage_error("give --missing, --since or both", hint="bankctl admin events republish --help")
    start = parse_instant("--since", since)
    counts = {"examined": 0, "missing": 0, "republished": 0}
    with open_bank() as bank, phases() as show_phase:
        newest_first = bank.transactions.list(scope="all", status=None, limit=None)
        for ids in _portions(_since(newest_first, start)):
            wanted = bank.events.missing(ids) if missing else ids
            counts["examined"] += len(ids)
            counts["missing"] += len(wanted) if missing else 0
            if wanted:
                counts["republished"] += bank.transactions.republish(wanted, reason=reason)
            show_phase("transactions", counts["examined"], counts["examined"])
    emit(counts, columns=_COLUMNS)
    messages.success(
        f"{counts['republished']} events are sent again; `bankctl admin prove` shows when they have arrived"
    )


@app.command(name="give-up")
def give_up(
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the act.")],
) -> None:
    """Give up events that Kafka has and the database does not, if the newer database is lost (operators).

    Examples:
      bankctl admin events give-up --reason "restored from the backup of 12:00"

    `bankctl admin outbox` shows when an older copy of the database is served, by mistake or because no newer
    one is left. Nothing is published until the right one is served, or until this command. `bankctl admin
    prove` will still show that the notifier has events which the journal has not.
    """
    prompts.require_consent()
    with open_bank() as bank:
        ids = [str(event["event_id"]) for event in bank.transactions.outbox()["unknown_events"]]
        if ids:
            prompts.confirm(f"Give up {len(ids)} events that this database does not know?")
        for start in range(0, len(ids), IDS_LIMIT):
            bank.transactions.give_up_events(ids[start : start + IDS_LIMIT], reason=reason)
    emit({"given_up": len(ids)}, columns=[Column("given_up", "Given up", "right")])
    messages.success(
        f"{len(ids)} events are given up; waiting events are published"
        if ids
        else "nothing to give up: the database knows every event that Kafka has"
    )


def _since(transactions: Iterable[dict[str, Any]], start: str | None) -> Iterator[str]:
    # Both are in UTC with milliseconds and sort as text.
    later = takewhile(lambda found: start is None or found["created_at"] >= start, transactions)
    return (str(found["id"]) for found in later)


def _portions(ids: Iterator[str]) -> Iterator[list[str]]:
    while portion := list(islice(ids, IDS_LIMIT)):
        yield portion
