"""accounts open, list, show, statement, set-type, rename, close; balance."""

import uuid
from typing import Annotated

import typer

from bankctl import prompts
from bankctl.client.bank import open_bank
from bankctl.errors import usage_error
from bankctl.money import parse_account, parse_currency
from bankctl.payments.pending import check_key
from bankctl.payments.single import tell_done
from bankctl.render import messages
from bankctl.render.column import Column
from bankctl.render.output import emit
from daemons.contracts.names import AccountStatus, AccountType

app = typer.Typer(
    help="""Open, list, show and close accounts.

Examples:
  bankctl accounts open checking --currency EUR
  bankctl accounts list
"""
)

Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account number, ten digits.")]


def _positive(limit: int) -> int:
    if limit < 1:
        raise typer.BadParameter("it must be 1 or more")
    return limit


Limit = Annotated[
    int, typer.Option("--limit", help="Show at most this many.", metavar="N", callback=_positive)
]
All = Annotated[bool, typer.Option("--all", help="Show all, however many there are.")]

ACCOUNT_COLUMNS = [
    Column("id", "Account"),
    Column("name", "Name", cut=True),
    Column("type", "Type", rank=1),
    Column("status", "Status"),
    Column("balance.amount", "Balance", "right"),
    Column("balance.currency", "Currency"),
    Column("opened_at", "Opened", rank=2),
]
DETAIL_COLUMNS = [*ACCOUNT_COLUMNS, Column("owner_id", "Owner"), Column("status_reason", "Reason")]
_STATEMENT_COLUMNS = [
    Column("created_at", "Time"),
    Column("kind", "Kind", rank=5),
    Column("status", "Status"),
    Column("amount", "Amount", "right"),
    Column("currency", "Currency", rank=2),
    Column("balance_after", "Balance after", "right", rank=1),
    Column("counterparty.display_name", "With", cut=True),
    Column("counterparty.account_id", "Account", rank=4),
    Column("reference", "Reference", cut=True),
    Column("failure.code", "Failure", rank=3),
]


@app.command("open")
def open_account(
    account_type: Annotated[AccountType, typer.Argument(metavar="TYPE", help="checking or savings.")],
    *,
    currency: Annotated[str, typer.Option("--currency", metavar="CODE", help="ISO 4217 code.")],
    name: Annotated[str | None, typer.Option("--name", help="Your name for it.")] = None,
    idempotency_key: Annotated[
        str | None,
        typer.Option("--idempotency-key", metavar="KEY", help="A key of your own for this request."),
    ] = None,
) -> None:
    """Open an account; repeating it with the same --idempotency-key returns the same account.

    Examples:
      bankctl accounts open checking --currency EUR
      bankctl accounts open savings --currency JPY --name "rainy days" -o json --query id
    """
    code = parse_currency(currency)
    key = check_key(idempotency_key) if idempotency_key is not None else str(uuid.uuid4())
    with open_bank() as bank:
        answer = bank.accounts.open(account_type=account_type, currency=code, name=name, idempotency_key=key)
    emit(answer.data, columns=DETAIL_COLUMNS)
    tell_done(f"opened {answer.data['id']}", replayed=answer.replayed)


@app.command("list")
def list_accounts(
    *,
    status: Annotated[AccountStatus | None, typer.Option("--status", help="Only those.")] = None,
    limit: Limit = 50,
    everything: All = False,
) -> None:
    """List your accounts.

    Examples:
      bankctl accounts list
      bankctl accounts list --status active -o csv
      bankctl accounts list --query "[?balance.currency=='EUR'].id"
    """
    with open_bank() as bank:
        found = bank.accounts.list(
            scope="own", status=status, owner_id=None, limit=None if everything else limit
        )
        emit(found, columns=ACCOUNT_COLUMNS, title="Accounts")


@app.command()
def show(account: Account) -> None:
    """Show one account: type, status with its reason, balance.

    Examples:
      bankctl accounts show 4000000006
    """
    number = parse_account(account)
    with open_bank() as bank:
        emit(bank.accounts.show(number), columns=DETAIL_COLUMNS)


@app.command()
def statement(account: Account, *, limit: Limit = 50, everything: All = False) -> None:
    """Show an account's statement, newest first, including failed transactions.

    Examples:
      bankctl accounts statement 4000000006
      bankctl accounts statement 4000000006 --all -o csv > statement.csv
    """
    number = parse_account(account)
    with open_bank() as bank:
        found = bank.accounts.statement(number, limit=None if everything else limit)
        emit(found, columns=_STATEMENT_COLUMNS, title=f"Account {number}")


@app.command("set-type")
def set_type(
    account: Account,
    account_type: Annotated[AccountType, typer.Argument(metavar="TYPE", help="checking or savings.")],
) -> None:
    """Change the type of an account.

    Examples:
      bankctl accounts set-type 4000000006 savings
    """
    number = parse_account(account)
    with open_bank() as bank:
        emit(bank.accounts.change(number, "type", type=account_type), columns=DETAIL_COLUMNS)
    messages.success(f"{number} is now a {account_type} account")


@app.command()
def rename(
    account: Account,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Your name for it.")] = None,
    *,
    remove: Annotated[bool, typer.Option("--remove", help="Leave the account without a name.")] = False,
) -> None:
    """Give an account another name, or none.

    Examples:
      bankctl accounts rename 4000000006 "rainy days"
      bankctl accounts rename 4000000006 --remove
    """
    number = parse_account(account)
    if (name is None) is not remove:
        raise usage_error("give either a name or --remove", hint="bankctl accounts rename --help")
    with open_bank() as bank:
        emit(bank.accounts.rename(number, name), columns=DETAIL_COLUMNS)
    messages.success(f"{number} has no name now" if name is None else f"{number} is now called {name}")


@app.command()
def close(
    account: Account,
    *,
    reason: Annotated[
        str | None, typer.Option("--reason", help="The reason; stored with the account.")
    ] = None,
) -> None:
    """Close an account for good; its balance must be zero.

    Examples:
      bankctl accounts close 4000000006
      bankctl accounts close 4000000006 --reason "moved to savings" --yes
    """
    number = parse_account(account)
    prompts.confirm(f"Close account {number} for good?")
    with open_bank() as bank:
        emit(bank.accounts.change(number, "close", reason=reason), columns=DETAIL_COLUMNS)
    messages.success(f"{number} is closed")


def balance(account: Account) -> None:
    """Show an account's balance.

    Examples:
      bankctl balance 4000000006
      bankctl balance 4000000006 --query balance.amount
    """
    number = parse_account(account)
    with open_bank() as bank:
        emit(
            bank.accounts.balance(number),
            columns=[
                Column("account_id", "Account"),
                Column("balance.amount", "Balance"),
                Column("balance.currency", "Currency"),
                Column("status", "Status"),
                Column("as_of", "As of"),
            ],
        )
