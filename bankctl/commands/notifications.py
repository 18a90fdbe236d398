"""notifications list."""

from typing import Annotated

import typer

from bankctl.client.bank import open_bank
from bankctl.commands.accounts import All, Limit
from bankctl.render.column import Column
from bankctl.render.output import emit
from daemons.contracts.names import Severity

app = typer.Typer(
    help="""Notifications to staff.

Examples:
  bankctl notifications list
"""
)


@app.callback()
def notifications() -> None:
    """Keeps `list` a subcommand, so that more can stand beside it."""


@app.command("list")
def list_notifications(
    *,
    severity: Annotated[Severity | None, typer.Option("--severity", help="Only those.")] = None,
    limit: Limit = 50,
    everything: All = False,
) -> None:
    """List notifications, newest first (support staff).

    Examples:
      bankctl notifications list
      bankctl notifications list --severity warning -o jsonl
    """
    with open_bank() as bank:
        emit(
            bank.events.notifications(severity=severity, limit=None if everything else limit),
            columns=[
                Column("created_at", "Time"),
                Column("severity", "Severity"),
                Column("event_type", "Event"),
                Column("text", "Text"),
            ],
            title="Notifications",
        )
