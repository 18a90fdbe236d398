"""Routes for the other daemons; each needs a service token and none goes through the gateway."""

from uuid import UUID

from aiohttp import web

from daemons.contracts.internal import (
    FetchedStandings,
    FetchedUsers,
    FetchUsers,
    RoleGranted,
    UserStanding,
    UserSummary,
    VerifiedCaller,
    VerifiedCallers,
    VerifyCallers,
)
from daemons.contracts.permissions import Permission
from daemons.contracts.wire import WireModel
from daemons.shared.auth.payment_confirmations import ConfirmationSigner
from daemons.shared.auth.session_tokens import SessionSigner
from daemons.shared.http.answers import json_response
from daemons.shared.http.requests import read_body, read_uuid
from daemons.shared.http.routes import Routes
from daemons.user_api.internal.service import CallerVerification, Verified
from daemons.user_api.users.routes import USERS_KEY
from daemons.user_api.users.user import User, user_not_found

routes = Routes("internal")
SIGNER_KEY = web.AppKey("signer", SessionSigner)
CONFIRMATION_SIGNER_KEY = web.AppKey("confirmation_signer", ConfirmationSigner)
VERIFICATION_KEY = web.AppKey("caller_verification", CallerVerification)


class PublicKeys(WireModel):
    """JSON Web Keys (RFC 7517): those that verify session tokens, and those that verify confirmations."""

    keys: list[dict[str, str]]
    confirmation_keys: list[dict[str, str]]


@routes.add("GET", "/internal/keys", permission=Permission.SERVICE, answer=PublicKeys)
async def show_keys(request: web.Request) -> web.Response:
    """Publish the keys that verify session tokens and confirmations of payments."""
    return json_response(
        PublicKeys(
            keys=request.app[SIGNER_KEY].public_keys,
            confirmation_keys=request.app[CONFIRMATION_SIGNER_KEY].public_keys,
        )
    )


@routes.add(
    "POST",
    "/internal/callers/verify",
    permission=Permission.SERVICE,
    body=VerifyCallers,
    answer=VerifiedCallers,
)
async def check_callers(request: web.Request) -> web.Response:
    """Return whose access has changed, and the users of sessions and API keys."""
    body = await read_body(request, VerifyCallers)
    changes, verified = await request.app[VERIFICATION_KEY].verify(
        after=body.after,
        session_ids=[UUID(one) for one in body.session_ids],
        digests=body.key_digests,
    )
    answer = VerifiedCallers(
        position=changes.position,
        changed_users=None if changes.users is None else [str(one) for one in changes.users],
        callers=[_verified(one) for one in verified],
    )
    return json_response(answer)


@routes.add("GET", "/internal/users/{id}", permission=Permission.SERVICE, answer=UserSummary)
async def fetch_user_by_id(request: web.Request) -> web.Response:
    """Return a user to another daemon."""
    user = await request.app[USERS_KEY].find(read_uuid(request, "id", missing=user_not_found()))
    return json_response(_summary(user))


@routes.add(
    "POST", "/internal/users/batch", permission=Permission.SERVICE, body=FetchUsers, answer=FetchedUsers
)
async def fetch_users(request: web.Request) -> web.Response:
    """Return several users to another daemon; unknown ids are missing from the answer."""
    body = await read_body(request, FetchUsers)
    users = await request.app[USERS_KEY].find_many([UUID(user_id) for user_id in body.ids])
    return json_response(FetchedUsers(users=[_summary(user) for user in users]))


@routes.add(
    "POST",
    "/internal/users/standings",
    permission=Permission.SERVICE,
    body=FetchUsers,
    answer=FetchedStandings,
)
async def fetch_standings(request: web.Request) -> web.Response:
    """Return the standing of requesters to another daemon; unknown ids are missing."""
    body = await read_body(request, FetchUsers)
    users = await request.app[USERS_KEY].find_many([UUID(user_id) for user_id in body.ids])
    standings = [
        UserStanding(
            id=str(user.id),
            role=user.role,
            locked=user.locked,
            rights_lost_at=user.rights_lost_at,
            grants=[RoleGranted(by=str(grant.by), at=grant.at) for grant in user.grants],
        )
        for user in users
    ]
    return json_response(FetchedStandings(users=standings))


def _verified(verified: Verified) -> VerifiedCaller:
    caller = verified.caller
    return VerifiedCaller(
        credential_id=str(caller.session_id),
        key_digest=caller.key_digest,
        user_id=str(caller.user_id),
        display_name=caller.display_name,
        role=caller.role,
        scopes=None if caller.scopes is None else sorted(caller.scopes),
        budget=caller.budget,
        ends_at=verified.ends_at,
    )


def _summary(user: User) -> UserSummary:
    return UserSummary(
        id=str(user.id), email=user.email, display_name=user.display_name, version=user.version
    )
