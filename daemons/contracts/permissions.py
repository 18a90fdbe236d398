"""Who may do what: one table of roles and permissions for all daemons."""

from enum import StrEnum


class Role(StrEnum):
    """A user's role. Never taken from a registration; granted by an admin or from the server's shell."""

    USER = "user"
    SUPPORT = "support"
    OPERATOR = "operator"
    ADMIN = "admin"


class Permission(StrEnum):
    """What a route requires. The first three are not granted: they describe kinds of callers."""

    PUBLIC = "public"
    SIGNED_IN = "signed_in"
    SERVICE = "service"

    USE_OWN_SESSION = "use_own_session"
    CHANGE_OWN_PASSWORD = "change_own_password"  # noqa: S105 - a permission
    MANAGE_OWN_ACCESS = "manage_own_access"
    USE_OWN_ACCOUNTS = "use_own_accounts"
    PAY_UNCONFIRMED = "pay_unconfirmed"
    READ_ANY_ACCOUNT = "read_any_account"
    READ_USERS = "read_users"
    READ_EVENTS = "read_events"
    READ_DEAD_LETTERS = "read_dead_letters"
    PROVE_LEDGER = "prove_ledger"
    READ_AUDIT = "read_audit"
    FREEZE_ACCOUNTS = "freeze_accounts"
    MANAGE_ANY_ACCOUNT = "manage_any_account"
    FUND_ACCOUNTS = "fund_accounts"
    WITHDRAW_AT_COUNTER = "withdraw_at_counter"
    REVERSE_TRANSACTIONS = "reverse_transactions"
    ADJUST_ACCOUNTS = "adjust_accounts"
    REPLAY_DEAD_LETTERS = "replay_dead_letters"
    RETRY_DELIVERIES = "retry_deliveries"
    REPUBLISH_EVENTS = "republish_events"
    MANAGE_WEBHOOKS = "manage_webhooks"
    REBUILD_ACCOUNTS = "rebuild_accounts"
    APPROVE_ACTS = "approve_acts"
    MANAGE_USERS = "manage_users"


MUST_ENROL = frozenset({Permission.SIGNED_IN, Permission.USE_OWN_SESSION})
"""What is left of a role that needs a second factor until its user has one."""
MUST_CHANGE_PASSWORD = frozenset(
    {Permission.SIGNED_IN, Permission.USE_OWN_SESSION, Permission.CHANGE_OWN_PASSWORD}
)
"""What is left of any role while the password is one that somebody else has chosen."""

_USER = MUST_ENROL | {
    Permission.CHANGE_OWN_PASSWORD,
    Permission.MANAGE_OWN_ACCESS,
    Permission.USE_OWN_ACCOUNTS,
    Permission.PAY_UNCONFIRMED,
}
_SUPPORT = _USER | {
    Permission.READ_ANY_ACCOUNT,
    Permission.READ_USERS,
    Permission.READ_EVENTS,
    Permission.READ_DEAD_LETTERS,
    Permission.PROVE_LEDGER,
    Permission.READ_AUDIT,
}
_OPERATOR = _SUPPORT | {
    Permission.FREEZE_ACCOUNTS,
    Permission.MANAGE_ANY_ACCOUNT,
    Permission.FUND_ACCOUNTS,
    Permission.WITHDRAW_AT_COUNTER,
    Permission.REVERSE_TRANSACTIONS,
    Permission.ADJUST_ACCOUNTS,
    Permission.REPLAY_DEAD_LETTERS,
    Permission.RETRY_DELIVERIES,
    Permission.REPUBLISH_EVENTS,
    Permission.MANAGE_WEBHOOKS,
    Permission.REBUILD_ACCOUNTS,
    Permission.APPROVE_ACTS,
}
_ADMIN = _OPERATOR | {Permission.MANAGE_USERS}

NEVER_GRANTED_TO_KEYS = frozenset(
    {
        Permission.PUBLIC,
        Permission.SERVICE,
        Permission.SIGNED_IN,
        Permission.USE_OWN_SESSION,
        Permission.CHANGE_OWN_PASSWORD,
        Permission.MANAGE_OWN_ACCESS,
    }
)
"""What no API key can be made for: a key must not make keys, change the password or end sessions."""

GRANTS: dict[Role, frozenset[Permission]] = {
    Role.USER: _USER,
    Role.SUPPORT: _SUPPORT,
    Role.OPERATOR: _OPERATOR,
    Role.ADMIN: _ADMIN,
}

ADMINISTRATIVE = GRANTS[Role.ADMIN] - GRANTS[Role.USER]
"""What only staff may do; that somebody else tried is a security event."""


def is_granted(role: Role, permission: Permission) -> bool:
    """Tell whether a signed-in user of this role holds the permission."""
    return permission in GRANTS[role]
