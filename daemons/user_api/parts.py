"""What the services work with; the composition root makes one for the process."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from daemons.contracts.permissions import Role
from daemons.shared.approvals.approvals import Approvals
from daemons.shared.approvals.policy import FourEyesSettings
from daemons.shared.audit.budget import RecordBudget
from daemons.shared.audit.trail import MongoAuditTrail
from daemons.shared.auth.session_tokens import SessionSigner
from daemons.shared.clock import Clock
from daemons.user_api.api_keys.storage import MongoApiKeys
from daemons.user_api.attempts.backoff import SignInLimits
from daemons.user_api.attempts.storage import MongoAttempts
from daemons.user_api.second_factor.sealing import Sealer
from daemons.user_api.second_factor.storage import MongoSecondFactors
from daemons.user_api.sessions.access_changes import MongoAccessChanges
from daemons.user_api.sessions.refresh_token_storage import MongoRefreshTokens
from daemons.user_api.sessions.session import SessionLimits
from daemons.user_api.sessions.storage import MongoSessions
from daemons.user_api.sign_in.storage import MongoDevices
from daemons.user_api.users.argon2_hasher import Argon2Hasher
from daemons.user_api.users.storage import MongoUsers


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Users and what is needed to add one: all that the shell's verbs have."""

    users: MongoUsers
    audit: MongoAuditTrail
    hasher: Argon2Hasher
    common_passwords: Collection[str]
    clock: Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts(Registry):
    """All that the serving daemon works with."""

    sessions: MongoSessions
    refresh_tokens: MongoRefreshTokens
    refresh_keys: Sequence[bytes] = field(repr=False)
    signer: SessionSigner
    limits: SessionLimits
    approvals: Approvals
    four_eyes: FourEyesSettings
    attempts: MongoAttempts
    attempts_key: bytes = field(repr=False)
    sign_in_limits: SignInLimits
    refusals: RecordBudget
    devices: MongoDevices
    second_factors: MongoSecondFactors
    api_keys: MongoApiKeys
    access_changes: MongoAccessChanges
    second_factor_roles: frozenset[Role]
    sealer: Sealer
