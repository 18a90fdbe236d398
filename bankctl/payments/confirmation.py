"""Confirming payments by the second factor, when the bank asks for it."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

from bankctl import invocation, prompts
from bankctl.client.bank import API_KEY_VARIABLE, BankClient
from bankctl.errors import CliError, ExitStatus
from bankctl.render import messages
from bankctl.render.text import clean
from daemons.contracts.names import Code
from daemons.contracts.vocabulary import batch_digest

ASKED_FOR = frozenset({Code.PAYMENT_CONFIRMATION_REQUIRED, Code.PAYMENT_CONFIRMATION_REFUSED})
"""The bank looked for the payment's key, has nothing under it, and paid nothing."""
_CONFIRMED = ("from_account", "to_account", "beneficiary", "amount", "currency")


def confirm_payment(
    bank: BankClient, request: Mapping[str, Any], *, key: str, code_stdin: bool = False
) -> str:
    """The confirmation of one payment, by a code that the person types after they read what it pays.

    Raises:
        CliError: no code can be had, it is wrong, or there is no second factor; nothing was paid.
    """
    payee = request.get("to_account")
    if payee is None:
        payee = f"{request['beneficiary']['name']} ({request['beneficiary']['iban']})"
    money = f"{request['amount']} {request['currency']}"
    payment = {name: request[name] for name in _CONFIRMED if name in request}
    [confirmation] = _confirmed(
        bank,
        [{**payment, "idempotency_key": key}],
        f"your second factor confirms {money} to {payee}",
        code_stdin=code_stdin,
    )
    return confirmation


def confirm_batches(
    bank: BankClient, batches: Sequence[Sequence[Mapping[str, Any]]], *, code_stdin: bool = False
) -> list[str]:
    """The confirmations of batches, by one code; the person reads how many rows and how much they pay.

    Raises:
        CliError: as `confirm_payment`.
    """
    payments = []
    together: dict[str, Decimal] = {}
    for batch in batches:
        totals: dict[str, Decimal] = {}
        for sums in (totals, together):
            for row in batch:
                sums[row["currency"]] = sums.get(row["currency"], Decimal(0)) + Decimal(row["amount"])
        texts = {currency: str(total) for currency, total in totals.items()}
        payments.append({"digest": batch_digest(batch), "rows": len(batch), "totals": texts})
    rows = sum(len(batch) for batch in batches)
    money = " and ".join(f"{total} {currency}" for currency, total in together.items())
    return _confirmed(
        bank,
        payments,
        f"your second factor confirms {rows} {'row' if rows == 1 else 'rows'}, {money} together",
        code_stdin=code_stdin,
    )


def _confirmed(
    bank: BankClient, payments: Sequence[Mapping[str, Any]], what: str, *, code_stdin: bool
) -> list[str]:
    if bank.http.credentials.api_key is not None:
        raise CliError(
            "the bank asks for your second factor, which an API key cannot prove; nothing was paid",
            exit_status=ExitStatus.FORBIDDEN,
            hint=f"unset {API_KEY_VARIABLE}, `bankctl login`, and pay it from the session, or make a key with"
            " the scope pay_unconfirmed",
            code=Code.PAYMENT_CONFIRMATION_REQUIRED,
        )
    messages.note(clean(what))
    try:
        # Without a code first: who has no second factor is told so and not asked for one.
        return prompts.with_code_if_asked(
            partial(_ask, bank, payments, code_stdin=code_stdin), from_stdin=code_stdin
        )
    except CliError as error:
        if error.exit_status is not ExitStatus.OUTCOME_UNKNOWN:
            raise
        # What is unknown is whether the code was used, and not whether anything was paid.
        raise CliError(
            f"the confirmation did not arrive, and nothing was paid: {error.message}",
            exit_status=ExitStatus.UNREACHABLE,
            hint="run it again with your app's next code",
            code=error.code,
            request_id=error.request_id,
        ) from error


def _ask(
    bank: BankClient, payments: Sequence[Mapping[str, Any]], *, code_stdin: bool, totp: str | None = None
) -> list[str]:
    try:
        return bank.auth.confirm_payments(payments, totp=totp)
    except CliError as error:
        if error.code != Code.TOTP_REQUIRED or code_stdin or invocation.current().interactive:
            raise
        raise CliError(
            "this needs a code of your second factor, and there is no terminal to ask on; nothing was paid",
            exit_status=ExitStatus.USAGE,
            hint="--code-stdin reads the code from stdin",
            code="code_needed",
        ) from error
