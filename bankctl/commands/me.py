"""me export."""

from typing import Any

import typer

from bankctl.client.bank import open_bank
from bankctl.invocation import OutputFormat, current
from bankctl.render.output import emit

app = typer.Typer(
    help="""What the bank holds about you.

Examples:
  bankctl me export > everything.json
"""
)


@app.callback()
def _group() -> None:
    """Keep this a group of commands."""


@app.command()
def export() -> None:
    """Print everything that the bank holds about you, as JSON.

    Examples:
      bankctl me export > everything.json
      bankctl me export --query "accounts[].statement[]"

    From user_api: you, your sessions, API keys and known devices, codes that were mailed to you and are still
    good, and the audit's records of you. From banking_api: your accounts with their statements, and the
    transactions that you have asked for. From both: which of the staff have read your data, and why. From the
    notifier: what you were told, and what you want to hear of; its events repeat what is shown here.
    Passwords, codes and keys are kept as digests, or not at all, and are not in it.
    """
    run = current()
    if run.output is OutputFormat.TABLE:
        run.output = OutputFormat.JSON
    with open_bank() as bank:
        data: dict[str, Any] = bank.users.my_data()
        data["sessions"] = bank.users.sessions()
        data["api_keys"] = bank.auth.keys()
        data["accesses"] = bank.auth.accesses()
        data["preferences"] = bank.notifications.preferences()
        data["notifications"] = list(bank.notifications.own(limit=None))
        data["accounts"] = [
            {**account, "statement": list(bank.accounts.statement(account["id"], limit=None))}
            for account in bank.accounts.list(scope="own", status=None, owner_id=None, limit=None)
        ]
        data["transactions"] = list(bank.transactions.list(scope="own", status=None, limit=None))
        emit(data)
