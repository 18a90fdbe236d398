"""Routes of registration: becoming a user, and confirming the address."""

from aiohttp import web

from daemons.contracts.permissions import Permission
from daemons.shared.http.answers import json_response, no_content
from daemons.shared.http.origin import origin_of
from daemons.shared.http.requests import caller_of, read_body
from daemons.shared.http.routes import Routes
from daemons.user_api.registration.models import AddressConfirmation, Registered, Registration
from daemons.user_api.registration.service import AddressConfirmation as Confirmation
from daemons.user_api.registration.service import SignUp
from daemons.user_api.users.models import UserView

routes = Routes("users")
SIGN_UP_KEY = web.AppKey("sign_up", SignUp)
CONFIRMATION_KEY = web.AppKey("address_confirmation", Confirmation)


@routes.add("POST", "/users", permission=Permission.PUBLIC, body=Registration, answer=Registered, status=201)
async def register(request: web.Request) -> web.Response:
    """Register as a user; the answer does not reveal whether the address was free."""
    body = await read_body(request, Registration)
    sign_up = request.app[SIGN_UP_KEY]
    user = await sign_up.sign_up(
        email=body.email,
        display_name=body.display_name,
        password=body.password,
        origin=origin_of(request),
    )
    return json_response(Registered.by(user, confirmation_required=sign_up.confirmation_required), status=201)


@routes.add("POST", "/users/confirm", permission=Permission.PUBLIC, body=AddressConfirmation, answer=UserView)
async def confirm_address(request: web.Request) -> web.Response:
    """Confirm the address of a registration by the code that was mailed, and its password."""
    body = await read_body(request, AddressConfirmation)
    user = await request.app[CONFIRMATION_KEY].confirm(
        email=body.email, code=body.code, password=body.password, origin=origin_of(request)
    )
    return json_response(UserView.of(user))


@routes.add("POST", "/users/me/confirmation", permission=Permission.MANAGE_OWN_ACCESS, status=204)
async def ask_for_confirmation(request: web.Request) -> web.Response:
    """Mail the caller the code that confirms their address, unless it is confirmed."""
    await request.app[CONFIRMATION_KEY].ask_for_own(caller_of(request))
    return no_content()
