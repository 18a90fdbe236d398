"""withdraw AMOUNT --to IBAN --name NAME, and admin withdraw ACCOUNT AMOUNT."""

import uuid
from typing import Annotated, Any

import typer

from bankctl import prompts
from bankctl.client.bank import BankClient, open_bank
from bankctl.commands import approvals
from bankctl.commands.accounts import Account
from bankctl.errors import usage_error
from bankctl.money import parse_account, parse_amount, parse_currency, parse_iban, parse_name, parse_reference
from bankctl.payments.command import TRANSACTION_COLUMNS, CodeStdin, failed_transaction
from bankctl.payments.pending import check_key
from bankctl.payments.single import Settled, begin_transfer, tell_done
from bankctl.render import messages
from bankctl.render.column import Column
from bankctl.render.output import emit
from bankctl.render.text import clean, clean_lines

_Amount = Annotated[str, typer.Argument(metavar="AMOUNT", help="Such as 12.50.")]
_Currency = Annotated[str | None, typer.Option("--currency", metavar="CODE", help="Default: the account's.")]
_Key = Annotated[
    str | None, typer.Option("--idempotency-key", metavar="KEY", help="A key of your own for this request.")
]
_COLUMNS = [
    *TRANSACTION_COLUMNS,
    Column("beneficiary.name", "Beneficiary", rank=6, cut=True),
    Column("beneficiary.iban", "IBAN", rank=6),
]


def withdraw(
    amount: _Amount,
    *,
    iban: Annotated[str, typer.Option("--to", metavar="IBAN", help="The account elsewhere.")],
    name: Annotated[str, typer.Option("--name", help="Whose account it is.")],
    sender: Annotated[
        str | None, typer.Option("--from", metavar="ACCOUNT", help="Default: your only active account.")
    ] = None,
    currency: _Currency = None,
    reference: Annotated[str | None, typer.Option("--reference", help="What the beneficiary reads.")] = None,
    idempotency_key: _Key = None,
    code_stdin: CodeStdin = False,
) -> None:
    """Pay from your account to one outside the bank.

    Examples:
      bankctl withdraw 12.50 --to DE89370400440532013000 --name "Zoe Lang" --reference invoice
      bankctl withdraw 12.50 --to "DE89 3704 0044 0532 0130 00" --name "Zoe Lang" --from 4000000006

    The IBAN is checked before anything is sent. On a terminal the command shows what is to be paid, and asks;
    scripts add --yes. The payment is written to disk before it is sent: if the connection is lost,
    `bankctl transactions retry` finishes it without paying twice. Where the bank asks for the second factor,
    a code is asked for, which confirms just this payment.
    """
    request: dict[str, Any] = {
        "amount": parse_amount(amount),
        "beneficiary": {"name": parse_name(name), "iban": parse_iban(iban)},
    }
    if reference is not None:
        request["reference"] = parse_reference(reference)
    key = check_key(idempotency_key) if idempotency_key is not None else str(uuid.uuid4())
    given = None if sender is None else parse_account(sender)
    code = None if currency is None else parse_currency(currency)
    prompts.require_consent()
    with open_bank() as bank:
        account = _account_to_pay_from(bank, given)
        request |= {"from_account": account["id"], "currency": code or account["balance"]["currency"]}
        if prompts.will_ask():
            beneficiary, balance = request["beneficiary"], account["balance"]
            messages.note(
                clean_lines(
                    f"{request['amount']} {request['currency']}\n"
                    f"  from {account['id']}, which holds {balance['amount']} {balance['currency']}\n"
                    f"  to   {beneficiary['name']} ({beneficiary['iban']})"
                )
            )
        prompts.confirm("Pay this?")
        settled = begin_transfer(bank, request, key=key, path="/transactions/withdraw", code_stdin=code_stdin)
    _show(settled, key, done="paid")


def withdraw_at_counter(
    account: Account,
    amount: _Amount,
    *,
    currency: _Currency = None,
    reference: Annotated[str | None, typer.Option("--reference", help="What the owner reads.")] = None,
    idempotency_key: _Key = None,
) -> None:
    """Debit an account with money that its owner was handed out.

    Examples:
      bankctl admin withdraw 4000000006 100.00 --reference "cash at the counter"

    If the outcome is unknown (exit 9), `bankctl transactions retry` settles it without debiting twice.
    Nobody may debit an account of their own. Beyond what one person may pay out alone in a day, it waits for
    `bankctl admin approvals` and exits 0: hand the money out when the second person has approved.
    """
    number, sum_paid = parse_account(account), parse_amount(amount)
    key = check_key(idempotency_key) if idempotency_key is not None else str(uuid.uuid4())
    request = {"amount": sum_paid}
    if reference:
        request["reference"] = parse_reference(reference)
    code = None if currency is None else parse_currency(currency)
    prompts.require_consent()
    with open_bank() as bank:
        request["currency"] = code or bank.accounts.balance(number)["balance"]["currency"]
        prompts.confirm(f"Debit {number} with {sum_paid} {request['currency']}, handed out?")
        settled = begin_transfer(bank, request, key=key, path=f"/accounts/{number}/withdraw")
    if approvals.shows_waiting(settled.transaction, replayed=settled.replayed):
        return
    _show(settled, key, done=f"{number} was debited")


def _account_to_pay_from(bank: BankClient, number: str | None) -> dict[str, Any]:
    if number is not None:
        return bank.accounts.show(number)
    active = list(bank.accounts.list(scope="own", status="active", owner_id=None, limit=None))
    if len(active) != 1:
        listed = ", ".join(str(account["id"]) for account in active) or "none"
        raise usage_error(
            f"say with --from which account is to pay; active are: {clean(listed)}",
            hint="`bankctl accounts list` shows your accounts",
            code="usage",
        )
    return active[0]


def _show(settled: Settled, key: str, *, done: str) -> None:
    document = {**settled.transaction, "idempotency_key": key, "replayed": settled.replayed}
    emit(document, columns=_COLUMNS)
    if settled.transaction["status"] != "completed":
        raise failed_transaction(settled.transaction)
    tell_done(done, replayed=settled.replayed)
