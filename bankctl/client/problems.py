"""Rebuilds what the daemons refused as an error for the person, with the next command to try."""

import json
from collections.abc import Mapping
from typing import Any

from bankctl.errors import CliError, ExitStatus
from daemons.contracts.errors import Category
from daemons.contracts.names import Code

_EXIT_STATUSES: Mapping[str, ExitStatus] = {
    Category.INVALID: ExitStatus.USAGE,
    Category.UNAUTHENTICATED: ExitStatus.NOT_LOGGED_IN,
    Category.FORBIDDEN: ExitStatus.FORBIDDEN,
    Category.NOT_FOUND: ExitStatus.NOT_FOUND,
    Category.REJECTED: ExitStatus.REJECTED,
    Category.CONFLICT: ExitStatus.CONFLICT,
    Category.TRANSIENT: ExitStatus.UNREACHABLE,
    Category.OUTCOME_UNKNOWN: ExitStatus.OUTCOME_UNKNOWN,
    Category.INTERNAL: ExitStatus.UNEXPECTED,
}

_HINTS: Mapping[str, str] = {
    Code.NOT_SIGNED_IN: "`bankctl login --email {email}`",
    Code.SESSION_ENDED: "`bankctl login --email {email}`",
    "invalid_credentials": "check the address and the password, then run it again",
    "invalid_code": "copy it from the newest mail; `bankctl auth reset` or `bankctl register` mails another",
    "email_unconfirmed": "`bankctl auth confirm-email --email {email}` with the code from the mail",
    "invalid_totp": "wait for your app's next code, or use a recovery code",
    Code.TOTP_REQUIRED: "run `bankctl login --email {email}` again and type the code of your app",
    "totp_already_active": "`bankctl auth totp disable` removes the current one",
    "totp_not_active": "`bankctl auth totp enroll` sets one up",
    "enrolment_code_required": "ask an administrator for one; `bankctl auth totp enroll` asks for it",
    "password_change_required": "`bankctl auth change-password`",
    "second_factor_required": "`bankctl auth totp enroll`",
    Code.PAYMENT_CONFIRMATION_REQUIRED: "`bankctl transfer` asks for the code, and so does a withdrawal",
    "scope_missing": "`bankctl auth api-keys create --name NAME --scope SCOPE` makes a key that may do it",
    "api_key_not_found": "`bankctl auth api-keys list` shows them",
    "too_many_api_keys": "`bankctl auth api-keys list` shows them, `api-keys revoke ID` removes one",
    "forbidden": "`bankctl whoami` shows your role; an operator or administrator can do this",
    "user_locked": "ask an administrator to unlock you",
    "account_not_found": "`bankctl accounts list` shows your accounts",
    "receiver_not_found": "check the account number with the receiver",
    "transaction_not_found": "`bankctl transactions list` shows your transactions",
    Code.REASON_REQUIRED: "add --reason WHY; it holds for an hour, and the customer can see it",
    "granted_role": "`bankctl admin approvals list` shows the request to somebody else",
    "own_request": "ask somebody else to run `bankctl admin approvals approve {id}`",
    "dead_letter_not_found": "`bankctl admin dead-letters list` lists them",
    "webhook_not_found": "`bankctl admin webhooks list` lists them",
    "webhook_url_refused": "give an https:// URL of a receiver outside the bank's own network",
    "too_many_webhooks": "`bankctl admin webhooks list` lists them; remove one that is not needed",
    "approval_not_found": "`bankctl admin approvals list` lists them",
    "approval_decided": "`bankctl admin approvals show {id}` shows by whom",
    "approval_expired": "run the command again to make a new request",
    "audit_record_not_found": "`bankctl admin audit list` lists them",
    "audit_record_damaged": "`bankctl admin audit verify` names every damaged record",
    "user_not_found": "`bankctl admin users` lists them",
    "session_not_found": "`bankctl auth sessions` lists them",
    "email_taken": "log in with `bankctl login --email {email}`, or register another address",
    "account_not_empty": "move the money out first: `bankctl balance {account}` shows how much, "
    "`bankctl transfer {account} TO AMOUNT` moves it",
    "account_already_frozen": "`bankctl admin unfreeze {account} --reason WHY` undoes it",
    "account_not_frozen": "`bankctl accounts show {account}` shows its state",
    "account_already_closed": "`bankctl accounts show {account}` shows its state",
    "insufficient_funds": "`bankctl balance {account}` shows the balance",
    "account_frozen": "`bankctl accounts show {account}` shows why; an operator can unfreeze it",
    "account_closed": "`bankctl accounts list` shows open accounts",
    "currency_mismatch": "both accounts must have the same currency; `bankctl balance {account}` shows it",
    "idempotency_key_reused": "that key was used for another request; omit --idempotency-key",
    "weak_password": "choose a longer or less common password",
    "invalid_request": "add --help to the command to see what it takes",
    "rate_limited": "wait a little, then run it again",
    Code.TOO_MANY_STREAMS: "end another `bankctl events tail` of yours, or use an API key for it",
    "overloaded": "run it again in a moment",
    "unavailable": "run it again in a moment; `bankctl doctor` shows what is down",
    "route_not_found": "the bank does not offer this; `bankctl doctor` compares versions",
    "internal": "give the request id to the bank's operators",
}

# What a gateway in trouble answers without a problem document.
_PLAIN_CATEGORIES: Mapping[int, str] = {
    400: Category.INVALID,
    401: Category.UNAUTHENTICATED,
    403: Category.FORBIDDEN,
    404: Category.NOT_FOUND,
    405: Category.INVALID,
    413: Category.INVALID,
    415: Category.INVALID,
    429: Category.TRANSIENT,
    502: Category.TRANSIENT,
    503: Category.TRANSIENT,
    504: Category.TRANSIENT,
}


def parse_problem(status: int, body: bytes) -> dict[str, Any]:
    """The problem document of an answer, or one made from its status if it holds none."""
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if isinstance(document, dict) and isinstance(document.get("category"), str):
        return document
    category = _PLAIN_CATEGORIES.get(status, Category.INTERNAL)
    code = "unavailable" if category is Category.TRANSIENT else category
    return {"code": code, "category": category, "detail": f"the gateway answered with status {status}"}


class _Values(dict[str, str]):
    """The values of a hint; unknown ones appear in capitals, to be filled in by hand."""

    def __missing__(self, name: str) -> str:
        return name.upper()


def error_from_problem(
    problem: Mapping[str, Any], request_id: str | None, values: Mapping[str, str] | None = None
) -> CliError:
    """The error that stands for a problem document; `values` are those of the request, for the hint."""
    code = str(problem.get("code", "internal"))
    category = str(problem.get("category", "internal"))
    detail = problem.get("detail") or problem.get("title") or code.replace("_", " ")
    details = dict(problem.get("details") or {})
    if problem.get("errors"):
        details["errors"] = [item for item in problem["errors"] if isinstance(item, dict)]
    if problem.get("retry_after_seconds") is not None:
        details["retry_after_seconds"] = problem["retry_after_seconds"]
    return CliError(
        str(detail),
        exit_status=_EXIT_STATUSES.get(category, ExitStatus.UNEXPECTED),
        hint=(_HINTS.get(code) or _HINTS.get(category, "")).format_map(_Values(values or {})) or None,
        code=code,
        request_id=str(problem.get("request_id") or request_id or "") or None,
        details=details,
    )
