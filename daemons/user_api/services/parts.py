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
from daemons.user_api.domain.backoff import SignInLimits
from daemons.user_api.domain.session import SessionLimits
from daemons.user_api.storage.argon2_hasher import Argon2Hasher
from daemons.user_api.storage.mongo_access_changes import MongoAccessChanges
from daemons.user_api.storage.mongo_api_keys import MongoApiKeys
from daemons.user_api.storage.mongo_attempts import MongoAttempts
from daemons.user_api.storage.mongo_devices import MongoDevices
from daemons.user_api.storage.mongo_refresh_tokens import MongoRefreshTokens
from daemons.user_api.storage.mongo_second_factors import MongoSecondFactors
from daemons.user_api.storage.mongo_sessions import MongoSessions
from daemons.user_api.storage.mongo_users import MongoUsers
from daemons.user_api.storage.sealing import Sealer


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
