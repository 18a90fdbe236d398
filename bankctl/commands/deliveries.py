"""admin deliveries list, show, retry."""

from typing import Annotated

import typer

from bankctl.client.bank import open_bank
from bankctl.commands.accounts import All, Limit
from bankctl.render import messages
from bankctl.render.column import Column
from bankctl.render.output import emit
from daemons.contracts.names import DeliveryState

app = typer.Typer(
    help="""What is owed to people and programs for events: whether it went out, and why not.

Examples:
  bankctl admin deliveries list --state given_up
  bankctl admin deliveries retry 0190a1b2-0000-7000-8000-000000000001
"""
)

_Delivery = Annotated[str, typer.Argument(metavar="DELIVERY", help="The delivery's id.")]
_COLUMNS = [
    Column("id", "Delivery"),
    Column("created_at", "Since", rank=2),
    Column("channel", "Channel"),
    Column("recipient", "Recipient", rank=1),
    Column("state", "State"),
    Column("attempts", "Tries", "right", rank=2),
    Column("fault", "Why not", cut=True, rank=3),
]
_DETAILS = [
    *_COLUMNS,
    Column("cause", "Because of"),
    Column("cause_id", "Its id"),
    Column("is_urgent", "Urgent"),
    Column("due_at", "Next try"),
    Column("settled_at", "Settled"),
]


@app.command("list")
def list_deliveries(
    *,
    state: Annotated[DeliveryState | None, typer.Option("--state", help="Only those.")] = None,
    channel: Annotated[str | None, typer.Option("--channel", help="Only over this channel.")] = None,
    recipient: Annotated[
        str | None, typer.Option("--recipient", help="Only to this user, webhook or address.")
    ] = None,
    event: Annotated[
        str | None, typer.Option("--event", metavar="EVENT", help="All that this event owes.")
    ] = None,
    limit: Limit = 50,
    everything: All = False,
) -> None:
    """List deliveries, newest first (support staff).

    Examples:
      bankctl admin deliveries list
      bankctl admin deliveries list --state failed --channel email
      bankctl admin deliveries list --event 0190a1b2-0000-7000-8000-000000000001 -o json

    An owed delivery waits for its turn and a failed one for its next try; sent and given_up ones are settled.
    """
    with open_bank() as bank:
        found = bank.deliveries.list(
            state=state,
            channel=channel,
            recipient=recipient,
            event=event,
            limit=None if everything else limit,
        )
        emit(found, columns=_COLUMNS, title="Deliveries")


@app.command()
def show(delivery: _Delivery) -> None:
    """Show one delivery; its content is not kept (support staff).

    Examples:
      bankctl admin deliveries show 0190a1b2-0000-7000-8000-000000000001
    """
    with open_bank() as bank:
        emit(bank.deliveries.show(delivery), columns=_DETAILS)


@app.command()
def retry(delivery: _Delivery) -> None:
    """Owe a delivery again that was given up, for example once an address is right (operators).

    Examples:
      bankctl admin deliveries retry 0190a1b2-0000-7000-8000-000000000001

    It goes to the end of its recipient's line. Failed deliveries are tried again by themselves. Messages with
    codes cannot be retried: their content is erased.
    """
    with open_bank() as bank:
        emit(bank.deliveries.retry(delivery), columns=_DETAILS)
    messages.success("owed again; `bankctl admin deliveries show` tells how it comes out")
