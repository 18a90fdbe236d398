"""What each daemon's own account may do at MongoDB: read and insert into its database, and change some of it.

What proves the rest, it may neither change nor remove: the journal with its seals, checkpoints, the audit.
deploy/mongo-init.js has the same table for `compose.yaml`; a test holds them together.
"""

from collections.abc import Mapping
from typing import Any

from daemons.contracts.names import Daemon

ROLE = "daemon"
"""The name of each daemon's own role, in the daemon's own database."""
INSERT_ONLY = frozenset({"audit", "checkpoints", "journal"})
CHANGED: Mapping[str, tuple[str, ...]] = {
    Daemon.USER_API: (
        "access_changes",
        "access_position",
        "api_keys",
        "approvals",
        "audit_head",
        "devices",
        "leases",
        "mail_requests",
        "owed_event_numbers",
        "owed_events",
        "owed_messages",
        "readings",
        "refresh_tokens",
        "refused_registrations",
        "second_factors",
        "sessions",
        "sign_in_attempts",
        "users",
    ),
    Daemon.BANKING_API: (
        "accounts",
        "approvals",
        "audit_head",
        "bank",
        "leases",
        "lost_events",
        "positions",
        "proven_states",
        "readings",
    ),
    Daemon.NOTIFIER: (
        "audit_head",
        "dead_letters",
        "deliveries",
        "events",
        "intake",
        "keys",
        "leases",
        "notifications",
        "preferences",
        "readings",
        "turns",
        "webhooks",
    ),
}
"""The collections of each daemon in which documents are changed and removed."""
_EVERYWHERE = (
    "collStats",
    "createCollection",
    "createIndex",
    "find",
    "insert",
    "listCollections",
    "listIndexes",
)
_CHANGING = ("remove", "update")


def privileges(daemon: str) -> list[dict[str, Any]]:
    """Return the privileges of a daemon's role, as MongoDB's `createRole` takes them."""
    everywhere = {"resource": {"db": daemon, "collection": ""}, "actions": list(_EVERYWHERE)}
    return [
        everywhere,
        *(
            {"resource": {"db": daemon, "collection": name}, "actions": list(_CHANGING)}
            for name in CHANGED[daemon]
        ),
    ]
