"""Routes of the second factor: enrol, confirm, remove."""

from aiohttp import web

from daemons.contracts.permissions import Permission
from daemons.shared.http.answers import json_response, no_content
from daemons.shared.http.origin import origin_of
from daemons.shared.http.requests import caller_of, read_body
from daemons.shared.http.routes import Routes
from daemons.user_api.second_factor.models import (
    Enrolment,
    EnrolmentRequest,
    FactorCode,
    FactorRemoval,
    RecoveryCodes,
)
from daemons.user_api.second_factor.service import SecondFactors

routes = Routes("second factor")
SECOND_FACTORS_KEY = web.AppKey("second_factors", SecondFactors)


@routes.add(
    "POST",
    "/auth/totp",
    permission=Permission.USE_OWN_SESSION,
    body=EnrolmentRequest,
    answer=Enrolment,
    status=201,
)
async def enrol(request: web.Request) -> web.Response:
    """Begin enrolment: returns the secret for the app, only once; it takes effect when confirmed."""
    body = await read_body(request, EnrolmentRequest)
    begun = await request.app[SECOND_FACTORS_KEY].begin(
        caller_of(request),
        password=body.password,
        enrolment_code=body.enrolment_code,
        origin=origin_of(request),
    )
    return json_response(Enrolment(secret=begun.secret, otpauth_uri=begun.uri), status=201)


@routes.add(
    "POST",
    "/auth/totp/confirm",
    permission=Permission.USE_OWN_SESSION,
    body=FactorCode,
    answer=RecoveryCodes,
)
async def confirm(request: web.Request) -> web.Response:
    """Activate the second factor; ends the other sessions and returns the recovery codes."""
    body = await read_body(request, FactorCode)
    codes = await request.app[SECOND_FACTORS_KEY].confirm(
        caller_of(request), code=body.totp, origin=origin_of(request)
    )
    return json_response(RecoveryCodes(recovery_codes=codes))


@routes.add(
    "POST", "/auth/totp/remove", permission=Permission.MANAGE_OWN_ACCESS, body=FactorRemoval, status=204
)
async def remove(request: web.Request) -> web.Response:
    """Remove the second factor; needs the password and a code, and ends the other sessions."""
    body = await read_body(request, FactorRemoval)
    await request.app[SECOND_FACTORS_KEY].remove(
        caller_of(request),
        password=body.password,
        code=body.totp,
        origin=origin_of(request),
    )
    return no_content()
