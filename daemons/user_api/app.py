"""The composition root: makes every part of user_api and joins them."""

from collections.abc import AsyncIterator
from functools import partial

from aiohttp import web

from daemons.contracts.permissions import Permission
from daemons.shared.approvals.approvals import Approvals
from daemons.shared.approvals.policy import GuardedAct
from daemons.shared.approvals.routes import APPROVALS_KEY, approval_routes
from daemons.shared.approvals.store import MongoApprovals
from daemons.shared.audit.budget import RecordBudget
from daemons.shared.audit.refusals import RefusalWitness
from daemons.shared.audit.routes import AUDIT_KEY, audit_routes
from daemons.shared.audit.trail import MongoAuditTrail
from daemons.shared.auth.keys import derive, session_signing_key
from daemons.shared.auth.service_tokens import ServiceTokenVerifier
from daemons.shared.auth.session_tokens import SessionSigner, verifier_from_jwks
from daemons.shared.clock import Clock, utc_now
from daemons.shared.http.app import build_app
from daemons.shared.http.routes import AUTHENTICATOR_KEY, REFUSALS_KEY
from daemons.shared.mongo import connect, ping
from daemons.shared.startup import wait_until_done
from daemons.user_api.api_keys import routes as api_keys
from daemons.user_api.api_keys.storage import MongoApiKeys
from daemons.user_api.attempts.storage import MongoAttempts
from daemons.user_api.internal import routes as internal
from daemons.user_api.keys import PARTS_KEY
from daemons.user_api.parts import Parts
from daemons.user_api.schema import make_indexes
from daemons.user_api.second_factor import routes as second_factor
from daemons.user_api.second_factor.sealing import Sealer
from daemons.user_api.second_factor.storage import MongoSecondFactors
from daemons.user_api.sessions import routes as auth
from daemons.user_api.sessions.access_changes import MongoAccessChanges
from daemons.user_api.sessions.refresh_token_storage import MongoRefreshTokens
from daemons.user_api.sessions.storage import MongoSessions
from daemons.user_api.settings import UserApiSettings
from daemons.user_api.sign_in.authenticator import OwnSessions
from daemons.user_api.sign_in.storage import MongoDevices
from daemons.user_api.users import routes as users
from daemons.user_api.users.argon2_hasher import Argon2Hasher
from daemons.user_api.users.common_passwords import common_passwords
from daemons.user_api.users.locks import lock_approved
from daemons.user_api.users.requesters import Requesters
from daemons.user_api.users.roles import give_approved_role
from daemons.user_api.users.storage import MongoUsers

NAME = "user_api"


def build(settings: UserApiSettings, *, clock: Clock = utc_now) -> web.Application:
    """Make the application; it connects and makes its indexes when it starts, and closes all when it ends.

    Args:
        settings: What the environment says.
        clock: The time by which sessions and tokens are judged.
    """
    secret = settings.secrets[0]
    signing_key, *previous_keys = map(session_signing_key, settings.secrets)
    client = connect(settings.mongo_uri, daemon=NAME)
    database = client[settings.mongo_database]
    audit = MongoAuditTrail(database, chain=NAME)
    approval_store = MongoApprovals(database)
    users_store = MongoUsers(client, database)
    requesters = Requesters(users_store)
    parts = Parts(
        users=users_store,
        sessions=MongoSessions(client, database),
        refresh_tokens=MongoRefreshTokens(database),
        refresh_keys=[derive(one, "refresh-tokens") for one in settings.secrets],
        hasher=Argon2Hasher(workers=settings.hashing_workers, queue=settings.hashing_queue),
        signer=SessionSigner(signing_key, previous=previous_keys),
        common_passwords=common_passwords(),
        limits=settings.session_limits,
        audit=audit,
        approvals=Approvals(
            client,
            approval_store,
            audit,
            standings=requesters.standings,
            hold_requester=requesters.hold,
            clock=clock,
        ),
        four_eyes=settings,
        attempts=MongoAttempts(database),
        attempts_key=derive(secret, "sign-in-attempts"),
        sign_in_limits=settings.sign_in_limits,
        devices=MongoDevices(database),
        refusals=RecordBudget(per_minute=settings.refusals_recorded_per_minute, clock=clock),
        second_factors=MongoSecondFactors(client, database),
        api_keys=MongoApiKeys(client, database),
        access_changes=MongoAccessChanges(client, database),
        second_factor_roles=settings.second_factor_roles,
        sealer=Sealer([derive(one, "second-factors") for one in settings.secrets]),
        clock=clock,
    )

    async def lifetime(_app: web.Application) -> AsyncIterator[None]:
        try:
            # A database that elects a primary just then, or comes up later, is waited for.
            await wait_until_done(lambda: make_indexes(database))
            await wait_until_done(audit.prepare)
            await wait_until_done(approval_store.prepare)
            await wait_until_done(lambda: parts.second_factors.reseal(parts.sealer))
            yield
        finally:
            parts.hasher.close()
            await client.close()

    staff_routes = [
        audit_routes("users"),
        approval_routes(users.APPROVALS_AREA, decide=Permission.MANAGE_USERS),
    ]
    app = build_app(
        NAME,
        settings,
        service_tokens=ServiceTokenVerifier(NAME, settings.calling_daemons),
        probes={"mongodb": partial(ping, database)},
        routes=[
            users.routes,
            auth.routes,
            second_factor.routes,
            api_keys.routes,
            internal.routes,
            *staff_routes,
        ],
    )
    parts.approvals.carry_out_by(
        {
            GuardedAct.CHANGE_ROLE: partial(give_approved_role, parts),
            GuardedAct.LOCK_STAFF: partial(lock_approved, parts),
            GuardedAct.UNLOCK_STAFF: partial(lock_approved, parts),
        }
    )
    app[PARTS_KEY] = parts
    app[AUDIT_KEY] = audit
    app[REFUSALS_KEY] = RefusalWitness(audit, clock=clock)
    app[APPROVALS_KEY] = parts.approvals
    verifier = verifier_from_jwks(NAME, parts.signer.public_keys(), clock=clock)
    app[AUTHENTICATOR_KEY] = OwnSessions(parts, verifier)
    app.cleanup_ctx.append(lifetime)
    return app
