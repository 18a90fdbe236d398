"""Routes of personal details: the own address and name."""

from aiohttp import web

from daemons.contracts.permissions import Permission
from daemons.shared.http.answers import json_response, no_content
from daemons.shared.http.origin import origin_of
from daemons.shared.http.requests import caller_of, read_body
from daemons.shared.http.routes import Routes
from daemons.user_api.personal_details.models import AddressChange, AddressCode, NameChange, Undoing
from daemons.user_api.personal_details.service import PersonalDetails
from daemons.user_api.users.models import UserView

routes = Routes("personal details")
DETAILS_KEY = web.AppKey("personal_details", PersonalDetails)


@routes.add("POST", "/auth/email", permission=Permission.MANAGE_OWN_ACCESS, body=AddressChange, status=204)
async def ask_for_address(request: web.Request) -> web.Response:
    """Mail a code to a new address; the answer does not reveal whether somebody has it."""
    body = await read_body(request, AddressChange)
    await request.app[DETAILS_KEY].ask_for_address(
        caller_of(request),
        new_email=body.new_email,
        password=body.password,
        totp=body.totp,
        origin=origin_of(request),
    )
    return no_content()


@routes.add(
    "POST",
    "/auth/email/confirm",
    permission=Permission.MANAGE_OWN_ACCESS,
    body=AddressCode,
    answer=UserView,
)
async def change_address(request: web.Request) -> web.Response:
    """Change the caller's address by the code that was mailed to the new one; the old one is told."""
    body = await read_body(request, AddressCode)
    user = await request.app[DETAILS_KEY].change_address(
        caller_of(request), code=body.code, origin=origin_of(request)
    )
    return json_response(UserView.of(user))


@routes.add("POST", "/auth/name", permission=Permission.MANAGE_OWN_ACCESS, body=NameChange, answer=UserView)
async def change_name(request: web.Request) -> web.Response:
    """Change the caller's name as others see it."""
    body = await read_body(request, NameChange)
    user = await request.app[DETAILS_KEY].change_name(
        caller_of(request),
        display_name=body.display_name,
        password=body.password,
        origin=origin_of(request),
    )
    return json_response(UserView.of(user))


@routes.add("POST", "/auth/undo", permission=Permission.PUBLIC, body=Undoing, status=204)
async def undo_change(request: web.Request) -> web.Response:
    """Undo a change of address or name by the code that was mailed; ends all access and the password."""
    body = await read_body(request, Undoing)
    await request.app[DETAILS_KEY].undo(email=body.email, code=body.code, origin=origin_of(request))
    return no_content()
