"""What the command line sends is what the daemons take, and what the played bank answers is what they give.

The unit tests run the command line against a played bank; this pins that bank to the daemons' own models.
"""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from bankctl.client.problems import _EXIT_STATUSES
from bankctl.commands.events import EVENT_TYPES
from daemons.banking_api.accounts import models as accounts
from daemons.banking_api.books import models as books
from daemons.banking_api.kinds.adjustment import AdjustAccount
from daemons.banking_api.kinds.funding import FundAccount
from daemons.banking_api.kinds.reversal import ReverseTransaction
from daemons.banking_api.kinds.withdrawal import Withdraw, WithdrawAtCounter
from daemons.banking_api.transactions import models as banking
from daemons.contracts.errors import Category
from daemons.contracts.names import EventType
from daemons.contracts.wire import ReasonGiven
from daemons.notifier.event_log import models as notifier
from daemons.shared.http.requests import RETURN_MINIMAL
from daemons.user_api.api_keys import models as api_keys
from daemons.user_api.payment_confirmations import models as payment_confirmations
from daemons.user_api.recovery import models as recovery
from daemons.user_api.registration import models as registration
from daemons.user_api.second_factor import models as second_factor
from daemons.user_api.sessions import models as sessions
from daemons.user_api.sign_in import models as sign_in
from daemons.user_api.users import models as users
from tests.unit.cli.conftest import Cli
from tests.unit.cli.played_bank import ANN, BOB, USER, Bank, Request, event_set

ID = "0190a1b2-0000-7000-8000-000000000001"
IBAN = "DE89370400440532013000"
TRANSFER = {"from_account": ANN, "to_account": BOB, "amount": "1.00", "currency": "EUR"}


def check(model: type[BaseModel], document: Any) -> None:
    model.model_validate_json(json.dumps(document))


@pytest.mark.parametrize(
    ("method", "path", "body", "model"),
    [
        ("GET", "/auth/session", None, sessions.SignedIn),
        ("GET", "/auth/sessions", None, sessions.SessionList),
        ("GET", "/users/me", None, users.UserView),
        ("POST", "/auth/totp", {"password": "x" * 9}, second_factor.Enrolment),
        ("POST", "/auth/totp/confirm", {"totp": "123456"}, second_factor.RecoveryCodes),
        ("GET", "/auth/tokens", None, api_keys.ApiKeyList),
        ("POST", "/auth/tokens", {}, api_keys.NewApiKey),
        (
            "POST",
            "/users",
            {"email": "a@b.c", "display_name": "A", "password": "x" * 9},
            registration.Registered,
        ),
        ("POST", "/users/confirm", {"email": "a@b.c"}, users.UserView),
        ("POST", "/accounts", {"type": "checking", "currency": "EUR"}, accounts.AccountView),
        ("GET", "/accounts", None, accounts.AccountPage),
        ("GET", f"/accounts/{ANN}/balance", None, accounts.BalanceView),
        (
            "POST",
            "/auth/payment-confirmations",
            {"payments": [{**TRANSFER, "idempotency_key": "k"}], "totp": "123456"},
            payment_confirmations.PaymentConfirmationList,
        ),
        ("POST", "/transactions/preview", TRANSFER, banking.PreviewView),
        ("POST", "/transactions/transfer", TRANSFER, banking.TransactionView),
        (
            "POST",
            "/transactions/batch",
            {"transfers": [{**TRANSFER, "idempotency_key": "k", "amount": amount} for amount in ("1", "9")]},
            banking.BatchResults,
        ),
        (
            "POST",
            "/transactions/batch/preview",
            {"transfers": [{**TRANSFER, "idempotency_key": "k", "amount": "1"}], "carried": {}},
            banking.BatchPreviewView,
        ),
        ("GET", "/bank", None, books.BankView),
        ("GET", "/ledger/proof", None, books.ProofView),
        ("POST", "/ledger/proof", {}, books.SignedProofView),
        ("GET", "/ledger/outbox", None, books.OutboxView),
        ("POST", "/ledger/accounts/rebuild", {"reason": "r"}, books.RebuiltView),
        ("POST", "/ledger/events/give-up", {"event_ids": [USER]}, books.LostEventsView),
        ("GET", "/events/proof", None, notifier.EventProofView),
    ],
)
def test_the_played_bank_answers_as_the_daemons_do(
    method: str, path: str, body: Any, model: type[BaseModel]
) -> None:
    bank = Bank()
    bank.totp = (body or {}).get("totp")
    bank.event_proofs = [{"events": event_set(), "notifications": event_set()}]
    headers = {
        "Cookie": f"__Host-bankctl={bank.cookie}",
        "X-Requested-With": "tests",
        "Idempotency-Key": "key",
    }
    text = b"" if body is None else json.dumps(body).encode()
    _, document, _ = bank.answer(Request(method, path, headers, text))
    check(model, document)


@pytest.mark.parametrize(
    ("arguments", "path", "model"),
    [
        (
            ["accounts", "open", "savings", "--currency", "eur", "--name", "n"],
            "/accounts",
            accounts.OpenAccount,
        ),
        (["accounts", "close", ANN], f"/accounts/{ANN}/close", accounts.OptionalReason),
        (["accounts", "set-type", ANN, "savings"], f"/accounts/{ANN}/type", accounts.NewType),
        (["accounts", "rename", ANN, "rainy days"], f"/accounts/{ANN}/name", accounts.NewName),
        (["accounts", "rename", ANN, "--remove"], f"/accounts/{ANN}/name", accounts.NewName),
        (["admin", "rebuild-accounts", "--reason", "r"], "/ledger/accounts/rebuild", ReasonGiven),
        (["admin", "freeze", ANN, "--reason", "r"], f"/accounts/{ANN}/freeze", ReasonGiven),
        (["admin", "unfreeze", ANN, "--reason", "r"], f"/accounts/{ANN}/unfreeze", ReasonGiven),
        (["admin", "fund", ANN, "5", "--reference", "r"], f"/accounts/{ANN}/fund", FundAccount),
        (
            ["admin", "adjust", ANN, "5", "--credit", "--reason", "r", "--corrects", ID],
            f"/accounts/{ANN}/adjust",
            AdjustAccount,
        ),
        (
            ["admin", "withdraw", ANN, "5", "--reference", "r"],
            f"/accounts/{ANN}/withdraw",
            WithdrawAtCounter,
        ),
        (
            ["withdraw", "5", "--to", IBAN, "--name", "Z", "--from", ANN, "--reference", "r"],
            "/transactions/withdraw",
            Withdraw,
        ),
        (
            ["transfer", ANN, BOB, "5", "--reference", "r", "--dry-run"],
            "/transactions/preview",
            banking.TransferRequest,
        ),
        (["transfer", ANN, BOB, "5", "--reference", "r"], "/transactions/transfer", banking.TransferRequest),
    ],
)
def test_the_daemons_take_what_the_command_line_sends(
    ann: Cli, bank: Bank, arguments: list[str], path: str, model: type[BaseModel]
) -> None:
    outcome = ann(*arguments)
    assert outcome.status == 0, outcome.err
    (request,) = bank.sent(path)
    assert request.headers["Content-Type"] == "application/json"
    check(model, request.body)


def test_a_reversal_is_taken_and_what_it_looks_up_is_answered_so(ann: Cli, bank: Bank) -> None:
    paid = ann("transfer", ANN, BOB, "5", "-o", "json").json["id"]
    assert ann("admin", "reverse", paid, "--amount", "1", "--reason", "r").status == 0
    [request] = bank.sent(f"/transactions/{paid}/reverse")
    check(ReverseTransaction, request.body)
    check(banking.TransactionInFull, ann("transactions", "show", paid, "-o", "json").json)


def test_what_is_confirmed_is_taken(ann: Cli, bank: Bank, tmp_path: Path) -> None:
    bank.totp, bank.confirm_above = "123456", Decimal(1)
    given = {"stdin": "123456\n"}
    assert ann("transfer", ANN, BOB, "5", "--reference", "r", "--code-stdin", **given).status == 0
    to = ["--to", IBAN, "--name", "Z", "--from", ANN]
    assert ann("withdraw", "5", *to, "--code-stdin", **given).status == 0
    path = tmp_path / "orders.csv"
    path.write_text(f"from,to,amount,currency,reference\n{ANN},{BOB},9.00,EUR,r\n")
    assert ann("transfer", "--file", str(path), "--code-stdin", **given).status == 0
    sent = bank.sent("/auth/payment-confirmations")
    # Each is asked without a code first, which tells whether there is a second factor.
    assert [request.body.get("totp") for request in sent] == [None, "123456"] * 3
    for request in sent:
        check(payment_confirmations.ConfirmPayments, request.body)


def test_the_rows_of_a_file_are_taken(ann: Cli, bank: Bank, tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text(f"from,to,amount,currency,reference\n{ANN},{BOB},1.00,EUR,r\n{ANN},{BOB},2,EUR,\n")
    assert ann("transfer", "--file", str(path)).status == 0
    (request,) = bank.sent("/transactions/batch")
    check(banking.TransferBatch, request.body)
    assert request.headers["Prefer"] == RETURN_MINIMAL
    for row in request.body["transfers"]:
        check(banking.BatchRow, row)
    assert ann("transfer", "--file", str(path), "--run", "2", "--atomic").status == 0
    check(banking.TransferBatch, bank.sent("/transactions/batch")[-1].body)
    assert ann("transfer", "--file", str(path), "--dry-run", "--run", "3").status == 0
    check(banking.BatchPreview, bank.sent("/transactions/batch/preview")[-1].body)


def test_logging_in_and_registering_are_taken(cli: Cli, bank: Bank) -> None:
    assert cli("login", "--email", "a@b.c", "--password-stdin", stdin="correct horse\n").status == 0
    check(sign_in.Credentials, bank.sent("/auth/login")[0].body)
    bank.totp = "123456"
    cli("login", "--email", "a@b.c", "--password-stdin", stdin="correct horse\n123456\n")
    check(sign_in.Credentials, bank.sent("/auth/login")[-1].body)
    cli("register", "--email", "a@b.c", "--name", "A", "--password-stdin", stdin="correct horse\n")
    check(registration.Registration, bank.sent("/users")[0].body)
    code = ("--email", "a@b.c", "--password-stdin")
    cli("auth", "confirm-email", *code, stdin="ABCD-EFGH-IJKL-MNOP\ncorrect horse\n")
    check(registration.AddressConfirmation, bank.sent("/users/confirm")[0].body)
    cli("auth", "reset", "--email", "a@b.c", "--send")
    check(recovery.ResetRequest, bank.sent("/auth/reset")[0].body)
    cli("auth", "reset", "--have-code", *code, stdin="ABCD-EFGH-IJKL-MNOP\ncorrect horse\n123456\n")
    check(recovery.PasswordReset, bank.sent("/auth/reset/confirm")[-1].body)


def test_the_second_factor_and_keys_are_taken(ann: Cli, bank: Bank) -> None:
    password, both = ("--password-stdin",), "correct horse\n123456\n"
    assert ann("auth", "totp", "enroll", *password, stdin=both).status == 0
    check(users.PasswordAgain, bank.sent("/auth/totp")[0].body)
    assert ann("auth", "totp", "confirm", "--code-stdin", stdin="123456\n").status == 0
    check(second_factor.FactorCode, bank.sent("/auth/totp/confirm")[0].body)
    assert ann("auth", "totp", "disable", *password, stdin=both).status == 0
    check(second_factor.FactorRemoval, bank.sent("/auth/totp/remove")[0].body)
    scopes = ("--scope", "use_own_accounts", "--scope", "read_events")
    assert ann("auth", "api-keys", "create", "--name", "ci", *scopes, *password, stdin=both).status == 0
    check(api_keys.ApiKeyRequest, bank.sent("/auth/tokens")[0].body)


def test_every_category_has_an_exit_status() -> None:
    assert set(_EXIT_STATUSES) == {category.value for category in Category}


def test_every_event_type_is_known() -> None:
    assert set(EVENT_TYPES) == {event_type.value for event_type in EventType}
