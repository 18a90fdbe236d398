"""admin webhooks add, list, rotate, test, remove."""

from typing import Annotated

import typer

from bankctl import prompts
from bankctl.client.bank import open_bank
from bankctl.commands.events import checked_type
from bankctl.errors import CliError, ExitStatus
from bankctl.render import messages
from bankctl.render.column import Column
from bankctl.render.output import emit

app = typer.Typer(
    help="""External programs that receive events as signed HTTP requests (operators).

Examples:
  bankctl admin webhooks add https://example.com/bank --reason "fraud checks"
  bankctl admin webhooks list
"""
)

_Webhook = Annotated[str, typer.Argument(metavar="WEBHOOK", help="The webhook's id.")]
_Reason = Annotated[str, typer.Option("--reason", help="The reason; recorded in the audit trail.")]
_COLUMNS = [
    Column("id", "Webhook"),
    Column("url", "URL", cut=True),
    Column("types", "Events", rank=1),
    Column("disabled_at", "Disabled"),
    Column("failing_since", "Failing since", rank=1),
    Column("last_fault", "Why", cut=True),
    Column("created_at", "Added", rank=2),
    Column("old_secret_until", "Old secret until", rank=2),
]
_WITH_SECRET = [
    Column("id", "Webhook"),
    Column("url", "URL"),
    Column("types", "Events"),
    Column("secret", "Secret"),
]
_TESTED = [
    Column("delivered", "Taken"),
    Column("fault", "Why not"),
    Column("webhook.id", "Webhook"),
    Column("webhook.url", "URL", cut=True),
    Column("webhook.disabled_at", "Disabled"),
]


@app.command()
def add(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where events are posted: https://...")],
    *,
    event_type: Annotated[
        str | None, typer.Option("--type", metavar="A,B", help="Only these types (see `events types`).")
    ] = None,
    reason: _Reason,
) -> None:
    """Add a webhook and show its secret, this once.

    Examples:
      bankctl admin webhooks add https://example.com/bank --reason "fraud checks"
      bankctl admin webhooks add https://example.com/bank --type TransactionFailed --reason alerts -o json

    Events from now on are posted to it, each until it answers 2xx, at least once. docs/webhooks.md shows how
    a receiver verifies the signature.
    """
    types = [name for part in (event_type or "").split(",") if (name := checked_type(part.strip() or None))]
    with open_bank() as bank:
        emit(bank.webhooks.add(url, types=types, reason=reason), columns=_WITH_SECRET, shown_once=True)
    messages.warn("keep the secret now: it is not shown again")


@app.command("list")
def list_webhooks() -> None:
    """List webhooks, and whether they take what they get.

    Examples:
      bankctl admin webhooks list
      bankctl admin webhooks list -o json --query "[?disabled_at].url"
    """
    with open_bank() as bank:
        emit(bank.webhooks.list(), columns=_COLUMNS, title="Webhooks")


@app.command()
def rotate(
    webhook: _Webhook,
    *,
    keep_hours: Annotated[
        int,
        typer.Option(
            "--keep-hours", min=0, max=168, help="How long the old secret signs as well; 0 if leaked."
        ),
    ] = 24,
    reason: _Reason,
) -> None:
    """Give a webhook a new secret and show it, this once.

    Examples:
      bankctl admin webhooks rotate 0190a1b2-0000-7000-8000-000000000001 --reason "yearly"
      bankctl admin webhooks rotate 0190a1b2-0000-7000-8000-000000000001 --keep-hours 0 --reason "leaked"

    Until the old secret ends, requests are signed with both, so the receiver can change over at any time.
    """
    with open_bank() as bank:
        emit(
            bank.webhooks.rotate(webhook, overlap_hours=keep_hours, reason=reason),
            columns=_WITH_SECRET,
            shown_once=True,
        )
    messages.warn("keep the secret now: it is not shown again")


@app.command()
def test(webhook: _Webhook) -> None:
    """Post a signed test now; a disabled webhook that takes it is enabled again.

    Examples:
      bankctl admin webhooks test 0190a1b2-0000-7000-8000-000000000001

    Exits 1 if the receiver does not take it.
    """
    with open_bank() as bank:
        tested = bank.webhooks.test(webhook)
        emit(tested, columns=_TESTED)
    if not tested["delivered"]:
        raise CliError(
            f"the receiver did not take the test: {tested['fault']}",
            exit_status=ExitStatus.UNEXPECTED,
            hint="see that the URL answers 2xx within 10 s, and test again",
            code="not_delivered",
        )


@app.command()
def remove(webhook: _Webhook, *, reason: _Reason) -> None:
    """Remove a webhook; what it is still owed is given up.

    Examples:
      bankctl admin webhooks remove 0190a1b2-0000-7000-8000-000000000001 --reason "no longer used"
    """
    prompts.confirm(f"Remove the webhook {webhook}?")
    with open_bank() as bank:
        bank.webhooks.remove(webhook, reason=reason)
    messages.success("removed")
