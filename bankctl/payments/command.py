"""transfer FROM TO AMOUNT, and transfer --file."""

import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from bankctl import prompts
from bankctl.client.bank import BankClient, open_bank
from bankctl.errors import CliError, ExitStatus, usage_error
from bankctl.money import parse_account, parse_amount, parse_currency, parse_reference
from bankctl.payments.pending import check_key
from bankctl.payments.single import begin_transfer, tell_done
from bankctl.render import messages
from bankctl.render.column import Column
from bankctl.render.output import emit
from bankctl.render.text import clean

CodeStdin = Annotated[
    bool,
    typer.Option("--code-stdin", help="Read a code of your second factor from stdin."),
]
TRANSACTION_COLUMNS = [
    Column("id", "Transaction", rank=1),
    Column("status", "Status"),
    Column("kind", "Kind", rank=5),
    Column("amount.amount", "Amount", "right"),
    Column("amount.currency", "Currency", rank=2),
    Column("from_account", "From", rank=3),
    Column("to_account", "To"),
    Column("reference", "Reference", cut=True),
    Column("failure.code", "Failure", rank=4),
    Column("created_at", "Time"),
]
_PREVIEW_COLUMNS = [
    Column("outcome", "Outcome"),
    Column("amount.amount", "Amount", "right"),
    Column("amount.currency", "Currency"),
    Column("from.account_id", "From"),
    Column("from.display_name", "From name"),
    Column("to.account_id", "To"),
    Column("to.display_name", "To name"),
    Column("from.balance_after.amount", "Balance after", "right"),
    Column("failure.code", "Failure"),
]


def transfer(
    *,
    sender: Annotated[str | None, typer.Argument(metavar="FROM", help="Your account.")] = None,
    receiver: Annotated[str | None, typer.Argument(metavar="TO", help="The receiver's account.")] = None,
    amount: Annotated[str | None, typer.Argument(metavar="AMOUNT", help="Such as 12.50.")] = None,
    currency: Annotated[
        str | None, typer.Option("--currency", metavar="CODE", help="Default: FROM's.")
    ] = None,
    reference: Annotated[str | None, typer.Option("--reference", help="What the receiver reads.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would happen.")] = False,
    idempotency_key: Annotated[
        str | None,
        typer.Option("--idempotency-key", metavar="KEY", help="A key of your own for this payment."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="CSV", help="Pay the rows of a file; - is standard input."),
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", metavar="NAME", help="The run's name. Default: the file's name.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Skip rows of a changed file that were paid; pay the others.")
    ] = False,
    key_column: Annotated[
        str | None,
        typer.Option("--key-column", metavar="COLUMN", help="The column that identifies a row."),
    ] = None,
    atomic: Annotated[bool, typer.Option("--atomic", help="Pay all rows of the file or none.")] = False,
    results: Annotated[
        Path | None, typer.Option("--results", metavar="PATH", help="Where to write the rows' outcomes.")
    ] = None,
    wait: Annotated[
        float | None,
        typer.Option(
            "--wait", metavar="SECONDS", help="With --file: how long to wait for a lost bank. Default: 60."
        ),
    ] = None,
    code_stdin: CodeStdin = False,
) -> None:
    """Pay an amount from your account to another.

    Examples:
      bankctl transfer 4000000006 1234567894 12.50 --reference lunch
      bankctl transfer 4000000006 1234567894 12.50 --dry-run
      bankctl transfer --file orders.csv --dry-run
      bankctl transfer --file orders.csv --run 2026-12 --key-column order_id

    On a terminal it shows both names and the resulting balance, and asks; scripts add --yes. The payment is
    written to disk before it is sent: if the connection is lost, `bankctl transactions retry` finishes it
    without paying twice. Where the bank asks for the second factor, a code is asked for, which confirms just
    this payment; of a file, all rows that need it together, after the others are paid.

    A file has the columns from, to, amount, currency, reference in any order; other columns are copied to the
    results. Each row is paid once within the file's run, even if other rows are corrected or added; another
    --run pays all of them again. A broken row does not stop the others. See `bankctl help paying-files`.
    """
    single = {
        "FROM": sender,
        "TO": receiver,
        "AMOUNT": amount,
        "--currency": currency,
        "--reference": reference,
        "--idempotency-key": idempotency_key,
    }
    of_file = {
        "--run": run,
        "--resume": resume,
        "--key-column": key_column,
        "--atomic": atomic,
        "--results": results,
        "--wait": wait,
    }
    if file is not None:
        _refuse_with(single, "is for a single transfer, not for --file")
        # Single payments need none of it.
        from bankctl.payments.paying import FileOptions, pay_file, rehearse_file  # noqa: PLC0415

        options = FileOptions(
            run=run,
            key_column=key_column,
            resume=resume,
            results=results,
            atomic=atomic,
            code_stdin=code_stdin,
        )
        if dry_run:
            _refuse_with({"--wait": wait}, "is for paying, not for --dry-run")
            rehearse_file(file, options)
        else:
            pay_file(file, options if wait is None else replace(options, wait_seconds=wait))
        return
    _refuse_with(of_file, "is for --file only")
    if sender is None or receiver is None or amount is None:
        raise usage_error("FROM, TO and AMOUNT are needed, or --file", hint="`bankctl transfer --help`")
    request: dict[str, Any] = {
        "from_account": parse_account(sender),
        "to_account": parse_account(receiver),
        "amount": parse_amount(amount),
    }
    if currency is not None:
        request["currency"] = parse_currency(currency)
    if reference is not None:
        request["reference"] = parse_reference(reference)
    key = check_key(idempotency_key) if idempotency_key is not None else str(uuid.uuid4())
    if not dry_run:
        prompts.require_consent()
    with open_bank() as bank:
        if "currency" not in request:
            request["currency"] = bank.accounts.balance(request["from_account"])["balance"]["currency"]
        if dry_run:
            _show_preview(bank.transactions.preview(request))
            return
        _confirm(bank, request)
        settled = begin_transfer(bank, request, key=key, code_stdin=code_stdin)
    emit(
        {**settled.transaction, "idempotency_key": key, "replayed": settled.replayed},
        columns=TRANSACTION_COLUMNS,
    )
    if settled.transaction["status"] != "completed":
        raise failed_transaction(settled.transaction)
    tell_done("paid", replayed=settled.replayed)


def _refuse_with(options: Mapping[str, object], why: str) -> None:
    given = [name for name, value in options.items() if value is not None and value is not False]
    if given:
        raise usage_error(f"{' and '.join(given)} {why}", hint="`bankctl transfer --help`", code="usage")


def failed_transaction(transaction: dict[str, Any]) -> CliError:
    """The error of a transaction that the bank recorded as failed."""
    failure = transaction.get("failure") or {}
    return CliError(
        str(failure.get("detail") or "the transfer failed"),
        exit_status=ExitStatus.REJECTED,
        code=str(failure.get("code") or "transfer_failed"),
        details={"transaction_id": transaction["id"]},
    )


def _confirm(bank: BankClient, request: dict[str, Any]) -> None:
    if not prompts.will_ask():
        return
    preview = bank.transactions.preview(request)
    if preview["outcome"] != "completed":
        raise _refused_preview(preview)
    money = preview["amount"]
    messages.note(
        f"{money['amount']} {money['currency']}\n"
        f"  from {_party(preview['from'])}, leaving {_amount(preview['from']['balance_after'])}\n"
        f"  to   {_party(preview['to'])}"
    )
    prompts.confirm("Pay this?")


def _party(party: dict[str, Any]) -> str:
    return clean(f"{party.get('display_name') or 'unknown'} ({party['account_id']})")


def _amount(value: Any) -> str:
    """A balance, given as money or as an amount alone."""
    return clean(f"{value['amount']} {value['currency']}" if isinstance(value, dict) else value)


def _show_preview(preview: dict[str, Any]) -> None:
    emit(preview, columns=_PREVIEW_COLUMNS)
    if preview["outcome"] != "completed":
        raise _refused_preview(preview)
    messages.note("nothing was paid: --dry-run")


def _refused_preview(preview: dict[str, Any]) -> CliError:
    failure = preview.get("failure") or {}
    return CliError(
        f"this would be refused: {failure.get('detail') or failure.get('code')}",
        exit_status=ExitStatus.REJECTED,
        code=str(failure.get("code") or "rejected"),
        hint="nothing was paid",
    )
