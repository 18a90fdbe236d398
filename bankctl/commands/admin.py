"""admin: operators' and administrators' commands on accounts and users, and the proof of the books."""

import uuid
from decimal import Decimal
from typing import Annotated

import typer

from bankctl import invocation, prompts
from bankctl.client.bank import BankClient, open_bank
from bankctl.commands import approvals, audit, checkpoints, dead_letters, deliveries, republish, webhooks
from bankctl.commands.accounts import ACCOUNT_COLUMNS, DETAIL_COLUMNS, Account, All, Limit
from bankctl.commands.reverse import reverse
from bankctl.commands.withdraw import withdraw_at_counter
from bankctl.errors import CliError, ExitStatus, usage_error
from bankctl.money import parse_account, parse_amount, parse_currency, parse_reference
from bankctl.payments.command import TRANSACTION_COLUMNS
from bankctl.payments.pending import check_key
from bankctl.payments.single import begin_transfer, tell_done
from bankctl.proof import PROOF_COLUMNS, prove_bank
from bankctl.render import messages
from bankctl.render.column import Column
from bankctl.render.output import emit
from bankctl.render.progress import phases
from daemons.contracts.names import AccountStatus
from daemons.contracts.permissions import Role

app = typer.Typer(
    help="""For operators: freeze, fund, take back, look after users, prove the ledger.

Examples:
  bankctl admin freeze 4000000006 --reason "card stolen"
  bankctl admin prove
"""
)
app.add_typer(audit.app, name="audit")
app.add_typer(approvals.app, name="approvals")
app.add_typer(checkpoints.app, name="checkpoints")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(deliveries.app, name="deliveries")
app.add_typer(republish.app, name="events")
app.add_typer(webhooks.app, name="webhooks")
app.command("withdraw")(withdraw_at_counter)
app.command()(reverse)

Reason = Annotated[str, typer.Option("--reason", help="The reason; recorded in the audit trail.")]
User = Annotated[str, typer.Argument(metavar="USER", help="The user's id or e-mail address.")]
_USER_COLUMNS = [
    Column("id", "User", rank=2),
    Column("email", "E-mail", cut=True),
    Column("display_name", "Name", cut=True),
    Column("role", "Role"),
    Column("locked", "Locked"),
    Column("created_at", "Since", rank=1),
]
_OUTBOX_COLUMNS = [
    Column("pending_events", "Events that wait"),
    Column("pending_commits", "Of commits"),
    Column("oldest_at", "Since"),
    Column("oldest_age_seconds", "Seconds"),
    Column("relay.lease_holder", "Published by"),
    Column("relay.lease_until", "Lease until"),
    Column("relay.address", "At"),
    Column("relay.failure", "Kept by"),
]
_MASKED_COLUMNS = [
    Column("id", "User"),
    Column("email", "E-mail"),
    Column("initials", "Initials"),
    Column("locked", "Locked"),
    Column("second_factor", "Second factor"),
    Column("created_at", "Since"),
]
_SEEN_ACCOUNTS = [
    Column("id", "Account"),
    Column("type", "Type"),
    Column("status", "Status"),
    Column("balance.amount", "Balance", "right"),
    Column("balance.currency", "Currency"),
]
_SEEN_LINES = [
    Column("account", "Account"),
    Column("at", "Time"),
    Column("kind", "Kind"),
    Column("amount.amount", "Amount", "right"),
    Column("counterparty", "Other party"),
    Column("failure", "Refused", rank=1),
]
_POLICY_COLUMNS = [
    Column("act", "Act"),
    Column("approval", "Waits"),
    Column("alone", "Alone in a day"),
    Column("at_most", "With another in a day"),
]
_REBUILT_COLUMNS = [
    Column("accounts", "Accounts", "right"),
    Column("changed", "Changed", "right"),
    Column("removed", "Removed", "right"),
]


@app.command()
def freeze(account: Account, *, reason: Reason) -> None:
    """Freeze an account: no money leaves it or arrives.

    Examples:
      bankctl admin freeze 4000000006 --reason "card stolen"
    """
    number = parse_account(account)
    with open_bank() as bank:
        emit(bank.accounts.change(number, "freeze", reason=reason), columns=DETAIL_COLUMNS)
    messages.success(f"{number} is frozen")


@app.command()
def unfreeze(account: Account, *, reason: Reason) -> None:
    """Unfreeze an account.

    Examples:
      bankctl admin unfreeze 4000000006 --reason "card replaced"

    Where the bank asks for a second person it waits for `bankctl admin approvals`, and exits 0.
    """
    number = parse_account(account)
    with open_bank() as bank:
        answer = bank.accounts.change(number, "unfreeze", reason=reason)
    if approvals.shows_waiting(answer):
        return
    emit(answer, columns=DETAIL_COLUMNS)
    messages.success(f"{number} is active again")


@app.command()
def accounts(
    *,
    status: Annotated[AccountStatus | None, typer.Option("--status", help="Only those.")] = None,
    owner: Annotated[str | None, typer.Option("--owner", metavar="USER_ID", help="Only theirs.")] = None,
    limit: Limit = 50,
    everything: All = False,
) -> None:
    """List the accounts of all users.

    Examples:
      bankctl admin accounts --status frozen
      bankctl admin accounts --all -o csv > accounts.csv
    """
    with open_bank() as bank:
        found = bank.accounts.list(
            scope="all", status=status, owner_id=owner, limit=None if everything else limit
        )
        columns = [*ACCOUNT_COLUMNS, Column("owner_id", "Owner", rank=3)]
        emit(found, columns=columns, title="Accounts of all users")


@app.command()
def fund(
    account: Account,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="Such as 100.00.")],
    *,
    currency: Annotated[
        str | None, typer.Option("--currency", metavar="CODE", help="Default: the account's.")
    ] = None,
    reference: Annotated[str | None, typer.Option("--reference", help="What the owner reads.")] = None,
    idempotency_key: Annotated[
        str | None,
        typer.Option("--idempotency-key", metavar="KEY", help="A key of your own for this request."),
    ] = None,
) -> None:
    """Credit an account with money from outside the bank.

    Examples:
      bankctl admin fund 4000000006 100.00 --reference "cash deposit"

    If the outcome is unknown (exit 9), `bankctl transactions retry` settles it without crediting twice.
    Nobody may credit an account of their own. Beyond what one person may credit alone in a day, it waits for
    `bankctl admin approvals` and exits 0.
    """
    number, sum_paid = parse_account(account), parse_amount(amount)
    key = check_key(idempotency_key) if idempotency_key is not None else str(uuid.uuid4())
    prompts.require_consent()
    with open_bank() as bank:
        code = (
            parse_currency(currency)
            if currency is not None
            else bank.accounts.balance(number)["balance"]["currency"]
        )
        prompts.confirm(f"Credit {number} with {sum_paid} {code} from outside?")
        request = {"amount": sum_paid, "currency": code}
        if reference:
            request["reference"] = parse_reference(reference)
        settled = begin_transfer(bank, request, key=key, path=f"/accounts/{number}/fund")
    if approvals.shows_waiting(settled.transaction, replayed=settled.replayed):
        return
    document = {**settled.transaction, "idempotency_key": key, "replayed": settled.replayed}
    emit(document, columns=TRANSACTION_COLUMNS)
    tell_done(f"{number} was credited", replayed=settled.replayed)


@app.command()
def adjust(
    account: Account,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="Such as 100.00.")],
    *,
    credit: Annotated[
        bool | None, typer.Option("--credit/--debit", help="Add the amount or take it away.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="What the owner reads on the statement.")],
    corrects: Annotated[
        str | None, typer.Option("--corrects", metavar="ID", help="The transaction that it corrects.")
    ] = None,
    idempotency_key: Annotated[
        str | None,
        typer.Option("--idempotency-key", metavar="KEY", help="A key of your own for this request."),
    ] = None,
) -> None:
    """Correct an account's balance, against the bank's own account.

    Examples:
      bankctl admin adjust 4000000006 12.50 --credit --reason "fee charged twice"
      bankctl admin adjust 4000000006 100.00 --debit --reason "booked twice" --corrects TRANSACTION

    It always waits for a second person (`bankctl admin approvals`) and exits 0. A frozen account can be
    corrected; a debit takes no account below zero. Repeating it with the same --idempotency-key shows its
    outcome.
    """
    if credit is None:
        raise usage_error("give --credit or --debit", hint="`bankctl admin adjust --help`")
    number, sum_moved = parse_account(account), parse_amount(amount)
    key = check_key(idempotency_key) if idempotency_key is not None else str(uuid.uuid4())
    direction = "credit" if credit else "debit"
    prompts.require_consent()
    with open_bank() as bank:
        balance = bank.accounts.balance(number)["balance"]
        change = Decimal(sum_moved) if credit else -Decimal(sum_moved)
        prompts.confirm(
            f"Ask a second person to {direction} {number} with {sum_moved} {balance['currency']} "
            f"({balance['amount']} now, {Decimal(balance['amount']) + change} then)?"
        )
        request = {
            "direction": direction,
            "amount": sum_moved,
            "currency": balance["currency"],
            "reason": parse_reference(reason),
            "corrects": corrects,
        }
        settled = begin_transfer(bank, request, key=key, path=f"/accounts/{number}/adjust")
    if approvals.shows_waiting(settled.transaction, replayed=settled.replayed):
        return
    document = {**settled.transaction, "idempotency_key": key, "replayed": settled.replayed}
    emit(document, columns=TRANSACTION_COLUMNS)
    tell_done("approved and booked", replayed=settled.replayed)


users_app = typer.Typer(invoke_without_command=True)
app.add_typer(users_app, name="users")


@users_app.callback()
def users(
    context: typer.Context,
    *,
    email: Annotated[str | None, typer.Option("--email", metavar="ADDRESS", help="Only that one.")] = None,
    limit: Limit = 50,
    everything: All = False,
) -> None:
    """List users (support staff), or erase one.

    Examples:
      bankctl admin users
      bankctl admin users --email ann@example.com --query "[0].id"
      bankctl admin users erase ann@example.com --reason "asked for it in writing"
    """
    if context.invoked_subcommand is not None:
        return
    with open_bank() as bank:
        found = bank.users.list(email=email, limit=None if everything else limit)
        emit(found, columns=_USER_COLUMNS, title="Users")


@users_app.command()
def erase(user: User, *, reason: Reason) -> None:
    """Erase who a customer was (administrators); another one must approve, and it cannot be undone.

    Examples:
      bankctl admin users erase ann@example.com --reason "asked for it in writing"

    All accounts must be closed. Address, name, password, second factor, sessions, keys and devices go; the id
    stays, which the books name, so that they can still be proved. The audit keeps its records, and so do
    events that were published (docs/security.md, personal data).
    """
    prompts.require_consent()
    with open_bank() as bank:
        user_id = _user_id(bank, user)
        open_ones = [
            account["id"]
            for account in bank.accounts.list(scope="all", status=None, owner_id=user_id, limit=None)
            if account["status"] != "closed"
        ]
        if open_ones:
            raise CliError(
                f"{user} has open accounts: {', '.join(open_ones)}",
                exit_status=ExitStatus.CONFLICT,
                hint=f"`bankctl accounts close {open_ones[0]}` closes an empty one",
                code="accounts_open",
            )
        prompts.confirm(f"Ask to erase {user}, which cannot be undone?")
        asked = bank.users.erase(user_id, reason=reason)
    approvals.shows_waiting(asked)


@app.command("set-role")
def set_role(
    user: User,
    role: Annotated[Role, typer.Argument(metavar="ROLE", help="user, support, operator or admin.")],
    *,
    reason: Reason,
) -> None:
    """Give a user another role (administrators); their sessions and API keys end.

    Examples:
      bankctl admin set-role bob@example.com support --reason "joined the desk"

    Where the bank asks for a second person it waits for `bankctl admin approvals`, and exits 0.
    """
    with open_bank() as bank:
        answer = bank.users.set_role(_user_id(bank, user), role=role, reason=reason)
    if approvals.shows_waiting(answer):
        return
    emit(answer, columns=_USER_COLUMNS)
    messages.success(f"{user} is now {role}")


@app.command()
def lock(user: User, *, reason: Reason) -> None:
    """Lock a user out (administrators); their sessions and API keys end.

    Examples:
      bankctl admin lock bob@example.com --reason "lost laptop"

    If the bank requires two people to lock staff, it waits for `bankctl admin approvals` and exits 0.
    """
    with open_bank() as bank:
        answer = bank.users.set_locked(_user_id(bank, user), locked=True, reason=reason)
    if approvals.shows_waiting(answer):
        return
    emit(answer, columns=_USER_COLUMNS)
    messages.success(f"{user} is locked out")


@app.command()
def unlock(user: User, *, reason: Reason) -> None:
    """Let a locked user sign in again (administrators).

    Examples:
      bankctl admin unlock bob@example.com --reason "laptop found"

    If the bank requires two people to unlock staff, it waits for `bankctl admin approvals` and exits 0.
    """
    with open_bank() as bank:
        answer = bank.users.set_locked(_user_id(bank, user), locked=False, reason=reason)
    if approvals.shows_waiting(answer):
        return
    emit(answer, columns=_USER_COLUMNS)
    messages.success(f"{user} can log in again")


@app.command("reset-second-factor")
def reset_second_factor(user: User, *, reason: Reason) -> None:
    """Ask for a user's lost second factor to be removed (administrators); another one must approve.

    Examples:
      bankctl admin reset-second-factor bob@example.com --reason "phone lost, passport seen"

    It waits for `bankctl admin approvals` and exits 0. The user is told by mail, and their sessions end.
    """
    with open_bank() as bank:
        answer = bank.users.reset_second_factor(_user_id(bank, user), reason=reason)
    approvals.shows_waiting(answer)


@app.command(name="enrolment-code")
def enrolment_code(user: User, *, reason: Reason) -> None:
    """Hand out a code with which one of the staff enrols their first second factor (administrators).

    Examples:
      bankctl admin enrolment-code omar@example.com --reason "new colleague, identity card seen"

    It is shown once, works once, for three days, and ends the ones before it. Hand it to the person by
    another way than the password. In the server's shell: `python -m daemons.user_api enrolment-code`.
    """
    with open_bank() as bank:
        made = bank.users.enrolment_code(_user_id(bank, user), reason=reason)
    emit(made, columns=["code", "expires_at"], shown_once=True)


@app.command(name="view-as")
def view_as(
    user: User, *, reason: Annotated[str, typer.Option("--reason", help="Why; the customer sees it.")]
) -> None:
    """Look at the bank as a customer sees it: accounts and newest transactions, read-only (support staff).

    Examples:
      bankctl admin view-as ann@example.com --reason "ticket 4711: payment missing"
      bankctl admin view-as 0190a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b --reason "ticket 4712" -o json

    The name and the other parties are masked. The reason holds for an hour (`reading_hours` of the policy),
    is recorded in the audit trail, and the customer finds it with `bankctl auth accesses`.
    """
    with open_bank() as bank:
        user_id = _user_id(bank, user)
        seen = bank.users.view_as(user_id, reason=reason)
        accounts = bank.accounts.overview(user_id)
    if invocation.current().machine_readable:
        emit({"user": seen, "accounts": accounts})
        return
    emit(seen, columns=_MASKED_COLUMNS)
    emit(accounts, columns=_SEEN_ACCOUNTS, title="Accounts")
    lines = [{"account": one["id"], **line} for one in accounts for line in one["lines"]]
    emit(lines, columns=_SEEN_LINES, title="Newest transactions")


def _user_id(bank: BankClient, user: str) -> str:
    """The id of a user who was given by id or address."""
    if "@" not in user:
        return user
    found = list(bank.users.list(email=user, limit=1))
    if not found:
        raise CliError(
            f"there is no user {user!r}",
            exit_status=ExitStatus.NOT_FOUND,
            hint="`bankctl admin users` lists them",
            code="user_not_found",
        )
    return str(found[0]["id"])


@app.command()
def policy() -> None:
    """Show which acts wait for a second person, and what one person may do in a day (support staff).

    Examples:
      bankctl admin policy
      bankctl admin policy --query "[?approval=='never'].act"

    It is the file that the setting STAFF_POLICY names, as the daemons have read it when they started. Nobody
    approves for those who gave them their role in the last so many days (`grant_days`). A warning says if the
    daemons have read different files.
    """
    with open_bank() as bank:
        ledger, users = (bank.approvals.policy(area) for area in ("ledger", "users"))
    days = ledger["grant_days"]
    emit([{**act, "grant_days": days} for act in ledger["acts"]], columns=_POLICY_COLUMNS, title="Policy")
    if ledger != users:
        messages.warn("user_api has read another policy than banking_api: give both the same STAFF_POLICY")


@app.command()
def outbox() -> None:
    """Show which events wait to be published, since when, and which process publishes (support staff).

    Examples:
      bankctl admin outbox
      bankctl admin outbox --query pending_events

    Events wait only briefly while Kafka and user_api can be reached. The failure shown is that of the process
    that answered; if several run, only the holder of the lease publishes.
    """
    with open_bank() as bank:
        waiting = bank.transactions.outbox()
    emit(waiting, columns=_OUTBOX_COLUMNS)
    if waiting["relay"]["failure"]:
        messages.warn(f"events are not published: {waiting['relay']['failure']}")


@app.command(name="rebuild-accounts")
def rebuild_accounts(*, reason: Reason) -> None:
    """Write the accounts again as the journal has them, for example after some were lost (operators).

    Examples:
      bankctl admin rebuild-accounts --reason "accounts restored from an old backup"

    Payments go on meanwhile. If accounts were missing or changed by hand, restart banking_api afterwards: a
    process may have them in memory as they were.
    """
    with open_bank() as bank, phases() as show_phase:
        rebuilt = bank.transactions.rebuild_accounts(reason=reason, on_progress=show_phase)
    emit(rebuilt, columns=_REBUILT_COLUMNS)
    if rebuilt["changed"] or rebuilt["removed"]:
        messages.warn("accounts differed from the journal: restart banking_api, which may remember them")


@app.command()
def prove(
    *,
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", help="How long to wait for events.")
    ] = 30.0,
    forget: Annotated[
        bool,
        typer.Option("--forget", help="Drop the journal's end kept here, such as after `bankctl dev reset`."),
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Go through all of the journal and of the events again.")
    ] = False,
) -> None:
    """Prove that no money was lost or made, and that nothing stored was changed by hand.

    Examples:
      bankctl admin prove
      bankctl admin prove --wait 60 -o json
      bankctl admin prove --full

    It compares every balance with its entries, the sum of each currency with zero, every record with its
    seal, the ledger's events with what the notifier recorded and notified, and the audit trails of all three
    daemons with the ends that this machine keeps, as `bankctl admin audit verify` does. If the books hold,
    the bank signs the journal's end, and this machine keeps it once it was shown to go on from the one
    before; so a bank whose journal was rewritten is found. Payments may go on meanwhile. Events arrive a
    moment after the money has moved, so it waits for them.

    The first proof on a machine goes through everything. Later ones prove all accounts, users, approvals and
    audit trails, and read journal and events from where the last proof here ended; what is older rests on
    what the bank signed then. A change by hand to what is older is found by --full.

    Exits 1 if a check fails, and 8 if the connection was lost: then nothing was proved.
    """
    with open_bank() as bank, phases() as show_phase:
        proof = prove_bank(bank, wait_seconds=wait, on_progress=show_phase, forget=forget, full=full)
    proof.show(PROOF_COLUMNS)
    proof.require()
