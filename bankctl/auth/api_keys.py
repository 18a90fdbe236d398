"""auth api-keys create, list, revoke."""

from functools import partial
from typing import Annotated, Any

import typer

from bankctl.client.bank import open_bank
from bankctl.errors import usage_error
from bankctl.money import parse_account, parse_amount, parse_currency, parse_iban
from bankctl.prompts import read_password, with_code_if_asked
from bankctl.render import messages
from bankctl.render.column import Column
from bankctl.render.output import emit
from bankctl.times import parse_instant
from daemons.contracts.vocabulary import MOST_KEY_DAYS

app = typer.Typer(
    help="""API keys, for scripts and CI.

Examples:
  bankctl auth api-keys create --name ci --scope use_own_accounts
  BANKCTL_TOKEN=bk_...@https://bank.example bankctl accounts list
"""
)


@app.command()
def create(
    *,
    name: Annotated[str, typer.Option("--name", help="What the key is for.")],
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="What it may do; may be repeated.")
    ] = None,
    days: Annotated[int, typer.Option("--days", help=f"Days until it expires, 1 to {MOST_KEY_DAYS}.")] = 90,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="TIME", help="When it expires, instead of --days.")
    ] = None,
    max_payment: Annotated[
        str | None, typer.Option("--max-payment", metavar="AMOUNT", help="The most it may pay at once.")
    ] = None,
    max_day: Annotated[
        str | None, typer.Option("--max-day", metavar="AMOUNT", help="The most it may pay in a day (UTC).")
    ] = None,
    currency: Annotated[
        str | None, typer.Option("--currency", metavar="CODE", help="The currency of those limits.")
    ] = None,
    payee: Annotated[
        list[str] | None,
        typer.Option("--payee", metavar="ACCOUNT", help="Whom it may pay, by number or IBAN; repeatable."),
    ] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from the first line of stdin.")
    ] = False,
) -> None:
    r"""Create an API key; it is shown only once.

    Examples:
      bankctl auth api-keys create --name ci --scope use_own_accounts
      bankctl auth api-keys create --name audit --scope read_any_account --scope read_events --days 7
      bankctl auth api-keys create --name agent --scope use_own_accounts --expires 2026-12-24 \
        --max-payment 50.00 --max-day 200.00 --currency EUR --payee 4000000014

    Scopes are permissions of your role: use_own_accounts; for staff also those that docs/caller-matrix.md
    names, such as read_any_account or fund_accounts. A key never does more than you may at the time.
    One that may approve (approve_acts, manage_users) waits for `bankctl admin approvals`.
    A budget bounds what it pays, in the transaction that moves the money: --max-payment, --max-day, --payee.
    With one it may use your own accounts and read, and nothing that changes what is others'. TIME is a date
    (midnight UTC), or a date and time, in UTC unless it has a zone.
    Where the bank asks for the second factor for payments, a key pays without it up to the day's amount; with
    the scope pay_unconfirmed, a second factor of yours and --max-day, up to its budget.
    Put what is shown as token into BANKCTL_TOKEN, not into an option, which others can see. It is the key,
    an @, and the bank that it is for: the key is sent to no other. Other programs need what is before the @.
    With a second factor a fresh code is asked for too; with --password-stdin it is the second line. All your
    keys end when you change your password or end all your sessions, and when your role changes.
    """
    if not scope:
        raise usage_error("give what the key may do", hint="--scope use_own_accounts", code="scope_needed")
    ends = {"expires_at": parse_instant("--expires", expires)} if expires else {"expires_in_days": days}
    budget = _budget(max_payment, max_day, currency, payee)
    with open_bank() as bank:
        password = read_password(from_stdin=password_stdin)
        make = partial(
            bank.auth.create_key, password=password, name=name, scopes=scope, ends=ends, budget=budget
        )
        made = with_code_if_asked(make, from_stdin=password_stdin)
    emit(
        {"token": f"{made['token']}@{bank.profile.url}", **made["key"]},
        columns=["token", "id", "name", "scopes", "expires_at", "budget"],
        shown_once=True,
    )
    if "approval" in made:
        request = made["approval"]["id"]
        messages.warn(
            f"the key is refused until somebody else runs `bankctl admin approvals approve {request}`"
        )
        messages.note("the token is not shown again; keep it until then")
        return
    messages.note(f"the token is not shown again; `bankctl auth api-keys revoke {made['key']['id']}` ends it")


def _budget(
    max_payment: str | None, max_day: str | None, currency: str | None, payees: list[str] | None
) -> dict[str, Any] | None:
    limits = {
        name: parse_amount(amount)
        for name, amount in (("max_payment", max_payment), ("max_day", max_day))
        if amount is not None
    }
    if bool(limits) is not (currency is not None):
        raise usage_error(
            "--max-payment and --max-day need --currency, and it needs one of them",
            hint="--max-day 200.00 --currency EUR",
            code="currency_needed",
        )
    budget: dict[str, Any] = dict(limits)
    if currency is not None:
        budget["currency"] = parse_currency(currency)
    if payees:
        budget["payees"] = [parse_account(one) if one.isdigit() else parse_iban(one) for one in payees]
    return budget or None


@app.command("list")
def list_keys() -> None:
    """List your API keys.

    Examples:
      bankctl auth api-keys list
    """
    with open_bank() as bank:
        emit(
            bank.auth.keys(),
            columns=[
                Column("id", "Key"),
                Column("name", "Name", cut=True),
                Column("scopes", "May", cut=True, rank=1),
                Column("budget", "Budget", cut=True, rank=3),
                Column("expires_at", "Ends"),
                Column("last_used_at", "Last used", rank=2),
            ],
            title="API keys",
        )


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id.")]) -> None:
    """Revoke an API key; it is refused everywhere within seconds.

    Examples:
      bankctl auth api-keys revoke 0190a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b
    """
    with open_bank() as bank:
        bank.auth.revoke_key(key_id)
    messages.success("the key is revoked")
