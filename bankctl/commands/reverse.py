"""admin reverse TRANSACTION [--amount] --reason."""

import re
import uuid
from typing import Annotated, Any

import typer

from bankctl import prompts
from bankctl.client.bank import open_bank
from bankctl.commands import approvals
from bankctl.errors import usage_error
from bankctl.money import parse_amount, parse_reference
from bankctl.payments.command import TRANSACTION_COLUMNS
from bankctl.payments.pending import check_key
from bankctl.payments.single import begin_transfer, tell_done
from bankctl.render.column import Column
from bankctl.render.output import emit
from bankctl.render.text import clean
from daemons.contracts.vocabulary import UUID_PATTERN

_COLUMNS = [*TRANSACTION_COLUMNS, Column("reverses", "Reverses", rank=6)]


def reverse(
    transaction: Annotated[str, typer.Argument(metavar="TRANSACTION", help="The transaction's id.")],
    *,
    amount: Annotated[
        str | None, typer.Option("--amount", help="How much of it. Default: the whole transaction.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="What both owners read on the statement.")],
    force: Annotated[
        bool, typer.Option("--force", help="Take the account below zero if the money is gone.")
    ] = False,
    idempotency_key: Annotated[
        str | None,
        typer.Option("--idempotency-key", metavar="KEY", help="A key of your own for this request."),
    ] = None,
) -> None:
    """Take a transfer or a withdrawal back, whole or in part.

    Examples:
      bankctl admin reverse 0190a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b --reason "sent to the wrong account"
      bankctl admin reverse 0190a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b --amount 5.00 --reason "charged twice"

    In sum, never more than the transaction is taken back; `bankctl transactions show` lists its reversals.
    If the money is gone from the account that got it, the reversal is refused; with --force it takes that
    account below zero, always with a second person. Others wait for `bankctl admin approvals` if the bank's
    policy says so, and exit 0. Frozen accounts take part, closed ones do not. If the outcome is unknown
    (exit 9), `bankctl transactions retry` settles it without reversing twice.
    """
    if not re.match(UUID_PATTERN, transaction):
        raise usage_error(
            f"{transaction!r} is no transaction's id",
            hint="`bankctl accounts statement ACCOUNT -o json` shows the ids",
            code="invalid_transaction",
        )
    request: dict[str, Any] = {"reason": parse_reference(reason), "force": force}
    if amount is not None:
        request["amount"] = parse_amount(amount)
    key = check_key(idempotency_key) if idempotency_key is not None else str(uuid.uuid4())
    prompts.require_consent()
    with open_bank() as bank:
        original = bank.transactions.show(transaction)
        money, taken = original["amount"], original["taken_back"]["amount"]
        request = {"amount": money["amount"], "currency": money["currency"], **request}
        prompts.confirm(
            clean(
                f"Take back {request['amount']} of {money['amount']} {money['currency']} "
                f"from {original['to_account'] or 'outside'} to {original['from_account'] or 'outside'} "
                f"({taken} taken back so far)?"
            )
        )
        settled = begin_transfer(bank, request, key=key, path=f"/transactions/{transaction}/reverse")
    if approvals.shows_waiting(settled.transaction, replayed=settled.replayed):
        return
    document = {**settled.transaction, "idempotency_key": key, "replayed": settled.replayed}
    emit(document, columns=_COLUMNS)
    tell_done("taken back", replayed=settled.replayed)
