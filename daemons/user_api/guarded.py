"""What changes in this daemon's database only together with a record of the audit (docs/adr/0032)."""

from daemons.shared.approvals.store import APPROVAL
from daemons.shared.audit.guarded import Guarded
from daemons.user_api.schema import API_KEYS, SECOND_FACTORS, USERS

USER = Guarded(
    kind="user",
    collection=USERS,
    fields=(
        "email",
        "display_name",
        "role",
        "locked",
        "created_at",
        "password_hash",
        "second_factor",
        "rights_lost_at",
        "password_is_temporary",
        "enrolment",
        "grants",
        "email_confirmed",
    ),
)
API_KEY = Guarded(
    kind="api_key",
    collection=API_KEYS,
    fields=("user_id", "name", "scopes", "budget", "digest", "created_at", "expires_at"),
    may_go=True,
)
SECOND_FACTOR = Guarded(
    kind="second_factor",
    collection=SECOND_FACTORS,
    fields=("sealed_secret", "confirmed", "recovery_digests"),
    counted={"confirmed": True},
)
GUARDED = (USER, API_KEY, SECOND_FACTOR, APPROVAL)
