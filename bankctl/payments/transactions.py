"""transactions list, show, receipt, retry."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from bankctl import prompts
from bankctl.client.bank import BankClient, open_bank
from bankctl.commands.accounts import All, Limit
from bankctl.commands.checkpoints import receipt_view
from bankctl.errors import CliError, ExitStatus, usage_error
from bankctl.files import write_private
from bankctl.heads import follow, load_held, opened, save_held
from bankctl.payments.command import TRANSACTION_COLUMNS, failed_transaction
from bankctl.payments.pending import PendingTransfer, list_pending, load_pending
from bankctl.payments.single import finish_transfer
from bankctl.receipt import InvalidProofError, verify_receipt
from bankctl.render import messages
from bankctl.render.column import Column
from bankctl.render.output import emit
from daemons.contracts.names import RecordStatus

app = typer.Typer(
    help="""Look at transactions; finish those whose outcome is unknown.

Examples:
  bankctl transactions list
  bankctl transactions retry
"""
)


_DETAILS = [
    *TRANSACTION_COLUMNS,
    Column("description", "Description"),
    Column("corrects", "Corrects"),
    Column("taken_back.amount", "Taken back", "right"),
    Column("follow_ups", "By"),
]


_RECEIPT = [
    Column("file", "File"),
    Column("transaction_id", "Transaction"),
    Column("status", "Status"),
    Column("at", "Time"),
    Column("seal", "Seal"),
    Column("checkpoint.time", "Checkpoint of"),
    Column("key", "Signed with key"),
]


@app.command("list")
def list_transactions(
    *,
    status: Annotated[RecordStatus | None, typer.Option("--status", help="Only those.")] = None,
    everyone: Annotated[bool, typer.Option("--everyone", help="Those of all users (support staff).")] = False,
    limit: Limit = 50,
    everything: All = False,
) -> None:
    """List the transactions you started, newest first.

    Examples:
      bankctl transactions list
      bankctl transactions list --status failed -o csv
      bankctl transactions list --everyone --limit 200
    """
    with open_bank() as bank:
        found = bank.transactions.list(
            scope="all" if everyone else "own", status=status, limit=None if everything else limit
        )
        emit(found, columns=TRANSACTION_COLUMNS, title="Transactions")


@app.command()
def show(transaction: Annotated[str, typer.Argument(metavar="ID", help="The transaction's id.")]) -> None:
    """Show one transaction.

    Examples:
      bankctl transactions show 0190a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b
    """
    with open_bank() as bank:
        emit(bank.transactions.show(transaction), columns=_DETAILS)


@app.command()
def receipt(
    transaction: Annotated[str, typer.Argument(metavar="ID", help="The transaction's id.")],
    *,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="The file to write; default: receipt-ID.json.")
    ] = None,
) -> None:
    """Write a file that proves a transaction to anybody, without the bank.

    Examples:
      bankctl transactions receipt 0190a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b
      bankctl transactions receipt 0190a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b --to rent.json

    It holds the record as the bank stores it, and what shows that the bank has signed a journal in which the
    record stands. It is verified before it is written; `bankctl verify FILE` does so again. Balances are left
    out, except for staff.
    """
    path = to or Path(f"receipt-{transaction}.json")
    with open_bank() as bank:
        held = load_held(bank.profile)
        since = None if held.checkpoint is None else held.checkpoint.checkpoint.size
        made = bank.checkpoints.receipt(transaction, since=since)
        try:
            signed = opened(made["checkpoint"], held, bank.checkpoints.keys())
            verified = verify_receipt(made, [signed.key], held.checkpoint)
            follow(held, signed, made["consistency"])
        except InvalidProofError as error:
            raise CliError(
                f"the bank's receipt is not valid: {error}",
                exit_status=ExitStatus.UNEXPECTED,
                hint="`bankctl admin prove` examines the books; nothing was written",
                code="not_valid",
            ) from error
        save_held(bank.profile, held)
    write_private(path, (json.dumps(made, indent=2) + "\n").encode())
    emit(
        {"file": str(path), **receipt_view(verified.record, verified.signed, verified.seal)}, columns=_RECEIPT
    )
    messages.success(f"{path} was written and verified")


@app.command()
def retry(
    key: Annotated[
        str | None, typer.Argument(metavar="[KEY]", help="The idempotency key of the transfer.")
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Finish all that are open.")] = False,
) -> None:
    """Finish transfers whose outcome is unknown; each pays at most once.

    Examples:
      bankctl transactions retry
      bankctl transactions retry 6f0c7f0e-9f0f-4d8e-8f4e-6d1c2a5b7e90
      bankctl transactions retry --all

    A transfer is written to disk with its idempotency key before it is sent. Sending it again with that key
    is safe: the bank repeats its first answer. Without KEY the only open transfer is finished. The command
    asks on a terminal; scripts add --yes.
    """
    prompts.require_consent()
    with open_bank() as bank:
        waiting = _chosen(bank, key, everything=everything)
        if waiting:
            prompts.confirm(f"Finish open transfers:{_listed(waiting)}\nSend it again?")
        else:
            messages.note("no transfer is open")
        outcomes, errors = [], []
        for pending in waiting:
            outcome, error = _finish(bank, pending)
            outcomes.append(outcome)
            errors += [error] if error else []
    emit(
        outcomes,
        columns=[
            Column("idempotency_key", "Key"),
            Column("outcome", "Outcome"),
            Column("detail", "Detail"),
            *TRANSACTION_COLUMNS[:1],
            *TRANSACTION_COLUMNS[3:8],
        ],
    )
    if errors:
        # An unknown outcome matters more than a refusal.
        raise max(errors, key=lambda error: error.exit_status)


def _chosen(bank: BankClient, key: str | None, *, everything: bool) -> list[PendingTransfer]:
    session = bank.require_session()
    waiting = list_pending(bank_id=bank.bank_id, user_id=session.user_id)
    if key is not None:
        found = load_pending(key)
        if found is None or found not in waiting:
            raise CliError(
                f"no open transfer of yours has the key {key!r}",
                exit_status=ExitStatus.NOT_FOUND,
                hint="`bankctl transactions list` shows those that are settled",
                code="no_such_pending_transfer",
            )
        return [found]
    if len(waiting) > 1 and not everything:
        raise usage_error(
            f"{len(waiting)} transfers are open:{_listed(waiting)}",
            hint="name one, or finish them with `bankctl transactions retry --all`",
            code="several_pending_transfers",
        )
    return waiting


def _listed(waiting: list[PendingTransfer]) -> str:
    return "".join(
        f"\n  {item.key}  {item.request['amount']} {item.request['currency']} "
        f"to {item.request.get('to_account', item.path)}"
        for item in waiting
    )


def _finish(bank: BankClient, pending: PendingTransfer) -> tuple[dict[str, Any], CliError | None]:
    try:
        settled = finish_transfer(bank, pending, again=True)
    except CliError as error:
        unknown = error.exit_status in {
            ExitStatus.OUTCOME_UNKNOWN,
            ExitStatus.UNEXPECTED,
            ExitStatus.UNREACHABLE,
            ExitStatus.NOT_LOGGED_IN,
        }
        outcome = {
            "idempotency_key": pending.key,
            "outcome": "unknown" if unknown else "refused",
            "detail": error.message,
            "id": error.details.get("transaction_id"),
        }
        return outcome, error
    transaction = settled.transaction
    if "requested_by" in transaction:
        waits = {"idempotency_key": pending.key, "outcome": "waits", "replayed": settled.replayed}
        detail = f"it waits for a second person: `bankctl admin approvals approve {transaction['id']}`"
        return {**waits, "detail": detail, "id": transaction["id"]}, None
    failed = failed_transaction(transaction) if transaction["status"] != "completed" else None
    outcome = {
        **transaction,
        "idempotency_key": pending.key,
        "outcome": str(transaction["status"]),
        "detail": "it had been carried out before" if settled.replayed else "carried out now",
        "replayed": settled.replayed,
    }
    return outcome, failed
