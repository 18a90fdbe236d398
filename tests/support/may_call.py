"""Who may call what, written by hand: the second source beside the code's table of permissions.

It reads nothing of `daemons/contracts/permissions.py`, so that a wrong grant there fails a test. A new route
is added here by hand as well.
"""

from typing import NamedTuple


class Least(NamedTuple):
    """The least role that may call a route; every higher one may as well.

    `for_own_accounts` tells whether an API key that was made for `use_own_accounts` alone may.
    """

    role: str
    for_own_accounts: bool = False


ROLES = ("user", "support", "operator", "admin")
"""From the least to the most."""
ANYBODY = Least("anybody", for_own_accounts=True)
DAEMON = Least("daemon")
USER = Least("user")
OWN_ACCOUNTS = Least("user", for_own_accounts=True)
SUPPORT = Least("support")
OPERATOR = Least("operator")
ADMIN = Least("admin")

MAY_CALL = {
    # Which bank it is, registering and signing in.
    "GET /bank": ANYBODY,
    "POST /users": ANYBODY,
    "POST /users/confirm": ANYBODY,
    "POST /auth/reset": ANYBODY,
    "POST /auth/reset/confirm": ANYBODY,
    "GET /auth/mailed-link": ANYBODY,
    "POST /auth/mailed-link": ANYBODY,
    "POST /auth/undo": ANYBODY,
    "POST /auth/totp/lost": ANYBODY,
    "POST /auth/totp/keep": ANYBODY,
    "POST /auth/login": ANYBODY,
    "POST /auth/refresh": ANYBODY,
    # One's own access: with a session only, never with a key.
    "GET /users/me": OWN_ACCOUNTS,
    "GET /users/me/data": USER,
    "POST /auth/logout": USER,
    "GET /auth/session": USER,
    "GET /auth/sessions": USER,
    "DELETE /auth/sessions": USER,
    "DELETE /auth/sessions/{id}": USER,
    "POST /users/me/confirmation": USER,
    "POST /auth/change-password": USER,
    "POST /auth/email": USER,
    "POST /auth/email/confirm": USER,
    "POST /auth/name": USER,
    "POST /auth/totp": USER,
    "POST /auth/totp/confirm": USER,
    "POST /auth/totp/remove": USER,
    "POST /auth/payment-confirmations": USER,
    "POST /auth/tokens": USER,
    "GET /auth/tokens": USER,
    "DELETE /auth/tokens/{id}": USER,
    # One's own accounts and money.
    "POST /accounts": OWN_ACCOUNTS,
    "GET /accounts": OWN_ACCOUNTS,
    "GET /accounts/{id}": OWN_ACCOUNTS,
    "GET /accounts/{id}/balance": OWN_ACCOUNTS,
    "GET /accounts/{id}/transactions": OWN_ACCOUNTS,
    "PATCH /accounts/{id}/type": OWN_ACCOUNTS,
    "PATCH /accounts/{id}/name": OWN_ACCOUNTS,
    "PATCH /accounts/{id}/close": OWN_ACCOUNTS,
    "POST /transactions/transfer": OWN_ACCOUNTS,
    "POST /transactions/withdraw": OWN_ACCOUNTS,
    "POST /transactions/preview": OWN_ACCOUNTS,
    "POST /transactions/batch": OWN_ACCOUNTS,
    "POST /transactions/batch/preview": OWN_ACCOUNTS,
    "GET /transactions": OWN_ACCOUNTS,
    "GET /transactions/{id}": OWN_ACCOUNTS,
    "GET /transactions/{id}/explanation": OWN_ACCOUNTS,
    # Support reads and changes nothing.
    "GET /accesses/users": USER,
    "GET /accesses/ledger": USER,
    "GET /accesses/events": USER,
    "GET /users": SUPPORT,
    "POST /users/{id}/view-as": SUPPORT,
    "POST /users/{id}/enrolment-code": ADMIN,
    "POST /users/{id}/erase": ADMIN,
    "GET /accounts/view-as/{id}": SUPPORT,
    "GET /users/{id}": SUPPORT,
    "GET /audit/users": SUPPORT,
    "GET /audit/users/proof": SUPPORT,
    "GET /audit/users/{seq}": SUPPORT,
    "GET /audit/ledger": SUPPORT,
    "GET /audit/ledger/proof": SUPPORT,
    "GET /audit/ledger/{seq}": SUPPORT,
    "GET /audit/events": SUPPORT,
    "GET /audit/events/proof": SUPPORT,
    "GET /audit/events/{seq}": SUPPORT,
    "GET /approvals/users": SUPPORT,
    "GET /approvals/users/policy": SUPPORT,
    "GET /approvals/users/{id}": SUPPORT,
    "GET /approvals/ledger": SUPPORT,
    "GET /approvals/ledger/policy": SUPPORT,
    "GET /approvals/ledger/{id}": SUPPORT,
    "GET /ledger/proof": SUPPORT,
    "POST /ledger/proof": SUPPORT,
    "GET /ledger/outbox": SUPPORT,
    # What was signed of the journal: the keys are for everybody, a receipt for the transaction's parties.
    "GET /ledger/checkpoint-keys": ANYBODY,
    "GET /ledger/checkpoints": SUPPORT,
    "GET /ledger/checkpoints/{seq}": SUPPORT,
    "GET /ledger/consistency": SUPPORT,
    "POST /transactions/{id}/receipt": OWN_ACCOUNTS,
    "POST /ledger/events/republish": OPERATOR,
    "POST /ledger/events/give-up": OPERATOR,
    "POST /ledger/accounts/rebuild": OPERATOR,
    "GET /events": SUPPORT,
    "GET /events/history": SUPPORT,
    "GET /events/summary": SUPPORT,
    "GET /events/{id}": SUPPORT,
    "GET /events/proof": SUPPORT,
    "POST /events/missing": SUPPORT,
    "GET /notifications": SUPPORT,
    "GET /notifications/own": OWN_ACCOUNTS,
    "GET /notifications/preferences": OWN_ACCOUNTS,
    "PATCH /notifications/preferences": USER,
    "POST /notifications/test": USER,
    "GET /notifications/unsubscribe": ANYBODY,
    "POST /notifications/unsubscribe": ANYBODY,
    "GET /deliveries": SUPPORT,
    "GET /deliveries/{id}": SUPPORT,
    "GET /dead-letters": SUPPORT,
    "GET /dead-letters/{id}": SUPPORT,
    # Operators act on customers' accounts and on events.
    "PATCH /accounts/{id}/freeze": OPERATOR,
    "PATCH /accounts/{id}/unfreeze": OPERATOR,
    "POST /accounts/{id}/fund": OPERATOR,
    "POST /accounts/{id}/withdraw": OPERATOR,
    "POST /accounts/{id}/adjust": OPERATOR,
    "POST /transactions/{id}/reverse": OPERATOR,
    "POST /approvals/ledger/{id}/approve": OPERATOR,
    "POST /approvals/ledger/{id}/reject": OPERATOR,
    "POST /dead-letters/{id}/replay": OPERATOR,
    "POST /dead-letters/replay": OPERATOR,
    "POST /dead-letters/resume": OPERATOR,
    "GET /webhooks": OPERATOR,
    "POST /webhooks": OPERATOR,
    "POST /webhooks/{id}/rotate": OPERATOR,
    "POST /webhooks/{id}/test": OPERATOR,
    "POST /webhooks/{id}/remove": OPERATOR,
    "POST /deliveries/{id}/retry": OPERATOR,
    # Administrators act on users.
    "PATCH /users/{id}/role": ADMIN,
    "PATCH /users/{id}/lock": ADMIN,
    "PATCH /users/{id}/unlock": ADMIN,
    "PATCH /users/{id}/reset-second-factor": ADMIN,
    "POST /approvals/users/{id}/approve": ADMIN,
    "POST /approvals/users/{id}/reject": ADMIN,
    # Between daemons.
    "GET /internal/keys": DAEMON,
    "POST /internal/callers/verify": DAEMON,
    "GET /internal/users/{id}": DAEMON,
    "POST /internal/users/batch": DAEMON,
    "POST /internal/users/standings": DAEMON,
    "POST /internal/messages": DAEMON,
}


def verdict(route: str, role: str | None, *, service: bool, key: bool) -> str:
    """Return what the guards of a route must say to a caller: `in`, `401` or `403`."""
    least = MAY_CALL[route]
    if least is ANYBODY:
        return "in"
    if least is DAEMON:
        return "in" if service else "401"
    if role is None:
        return "401"
    enough = ROLES.index(role) >= ROLES.index(least.role)
    return "in" if enough and (least.for_own_accounts or not key) else "403"
