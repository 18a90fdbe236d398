"""admin approvals list, show, approve, reject."""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Annotated, Any

import typer

from bankctl import prompts
from bankctl.client.approvals import AREAS
from bankctl.client.bank import open_bank
from bankctl.client.failures import EARLIER_OUTCOME, TO_TRY_ANEW
from bankctl.commands.accounts import All, Limit
from bankctl.render import messages
from bankctl.render.column import Column
from bankctl.render.output import emit
from daemons.contracts.names import ApprovalStatus

app = typer.Typer(
    help="""Acts that wait for a second person.

Examples:
  bankctl admin approvals list --status pending
  bankctl admin approvals approve 0190a1b2-0000-7000-8000-000000000001
"""
)

_Request = Annotated[str, typer.Argument(metavar="REQUEST", help="The request's id.")]
_COLUMNS = [
    Column("id", "Request"),
    Column("act", "Act"),
    Column("target.id", "Whom", cut=True, rank=3),
    Column("parameters.amount", "Amount", "right", rank=1),
    Column("reason", "Why", cut=True, rank=4),
    Column("requested_by.display_name", "Asked by", cut=True, rank=2),
    Column("status", "Status"),
    Column("expires_at", "Until", rank=5),
]
_DETAILS = [
    *_COLUMNS,
    Column("parameters", "In detail"),
    Column("requested_at", "Asked"),
    Column("decided_by.display_name", "Decided by"),
    Column("decided_at", "Decided"),
    Column("decision_reason", "Because"),
    Column("outcome", "Outcome"),
]


@app.command("list")
def list_requests(
    *,
    status: Annotated[ApprovalStatus | None, typer.Option("--status", help="Only those.")] = None,
    limit: Limit = 50,
    everything: All = False,
) -> None:
    """List requests, those on accounts before those on users, each newest first.

    Examples:
      bankctl admin approvals list --status pending
      bankctl admin approvals list --all -o json --query "[?act=='fund'].id"
    """
    with open_bank() as bank:
        shown = None if everything else limit
        found: Iterator[dict[str, Any]] = chain.from_iterable(
            bank.approvals.list(area, status=status, limit=shown) for area in AREAS
        )
        emit(found, columns=_COLUMNS, title="Approvals")


@app.command()
def show(request: _Request) -> None:
    """Show one request and its outcome.

    Examples:
      bankctl admin approvals show 0190a1b2-0000-7000-8000-000000000001
    """
    with open_bank() as bank:
        emit(bank.approvals.show(request), columns=_DETAILS)


@app.command()
def approve(request: _Request) -> None:
    """Approve somebody else's request; it is carried out at once.

    Examples:
      bankctl admin approvals approve 0190a1b2-0000-7000-8000-000000000001
    """
    prompts.require_consent()
    with open_bank() as bank:
        asked = bank.approvals.show(request)
        by = asked["requested_by"]["display_name"]
        prompts.confirm(f"Carry out {asked['act']} on {asked['target']['id']}, as {by} asks?")
        emit(bank.approvals.approve(request), columns=_DETAILS)
    messages.success("approved and carried out")


@app.command()
def reject(request: _Request, *, reason: Annotated[str, typer.Option("--reason", help="Why.")]) -> None:
    """Reject a request, or withdraw your own.

    Examples:
      bankctl admin approvals reject 0190a1b2-0000-7000-8000-000000000001 --reason "no court order"
    """
    with open_bank() as bank:
        emit(bank.approvals.reject(request, reason=reason), columns=_DETAILS)
    messages.success("rejected; nothing was done")


def shows_waiting(answer: Mapping[str, Any], *, replayed: bool = False) -> bool:
    """Whether an act waits for a second person; if so, print the request and what comes next.

    `replayed` if it was asked for earlier, under the same idempotency key.
    """
    if "requested_by" not in answer:
        return False
    emit({name: value for name, value in answer.items() if name != "idempotency_key"}, columns=_DETAILS)
    if answer["status"] == "pending":
        messages.note(
            f"nothing was done yet; somebody else must run `bankctl admin approvals approve {answer['id']}`"
        )
    else:
        messages.warn(f"nothing was done: this request is {answer['status']}")
    if replayed:
        messages.note(f"{EARLIER_OUTCOME}; {TO_TRY_ANEW}")
    return True
