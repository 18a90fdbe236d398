"""Who may do what, written out by hand: nothing here is read from the table that it is compared with."""

from daemons.contracts.permissions import (
    ADMINISTRATIVE,
    MUST_CHANGE_PASSWORD,
    MUST_ENROL,
    NEVER_GRANTED_TO_KEYS,
    Permission,
    Role,
    is_granted,
)

OWN = {"signed_in", "use_own_session", "change_own_password", "manage_own_access", "use_own_accounts"}
OWN |= {"pay_unconfirmed"}
READING = {
    *("read_any_account", "read_users", "read_events", "read_dead_letters", "prove_ledger", "read_audit"),
}
OPERATING = {
    *("freeze_accounts", "manage_any_account", "approve_acts"),
    *("fund_accounts", "withdraw_at_counter", "reverse_transactions", "adjust_accounts"),
    *("replay_dead_letters", "retry_deliveries", "manage_webhooks", "republish_events", "rebuild_accounts"),
}
MAY = {
    "user": OWN,
    "support": OWN | READING,
    "operator": OWN | READING | OPERATING,
    "admin": OWN | READING | OPERATING | {"manage_users"},
}


def test_each_role_may_do_what_is_said_here_and_nothing_else() -> None:
    granted = {
        role.value: {permission.value for permission in Permission if is_granted(role, permission)}
        for role in Role
    }
    assert granted == MAY
    # How routes are called that need no role is granted to nobody.
    named = {permission.value for permission in Permission}
    assert named - MAY["admin"] == {"public", "service"}


def test_what_counts_as_administrative_what_no_key_is_made_for_and_what_is_left_until_enrolment() -> None:
    assert READING | OPERATING | {"manage_users"} == ADMINISTRATIVE
    assert {
        *("public", "service", "signed_in", "use_own_session", "change_own_password", "manage_own_access"),
    } == NEVER_GRANTED_TO_KEYS
    assert {"signed_in", "use_own_session"} == MUST_ENROL
    assert {"signed_in", "use_own_session", "change_own_password"} == MUST_CHANGE_PASSWORD
