"""The pages behind links in mail. Opening one changes nothing: mail programs and scanners follow links."""

from http import HTTPStatus

from aiohttp import web

from daemons.contracts.errors import BankError
from daemons.contracts.permissions import Permission
from daemons.shared.http.origin import origin_of
from daemons.shared.http.problems import status_of
from daemons.shared.http.requests import read_form, read_query
from daemons.shared.http.routes import Routes
from daemons.user_api.mail.codes import LINK_PATH
from daemons.user_api.mailed_links.models import LinkForm, MailedLink
from daemons.user_api.mailed_links.page import asking_page, done_page, unknown_page
from daemons.user_api.mailed_links.service import MailedLinks

routes = Routes("mailed links")
LINKS_KEY = web.AppKey("mailed_links", MailedLinks)
_HTML = "text/html"


@routes.add("GET", LINK_PATH, permission=Permission.PUBLIC, query=MailedLink, media_type=_HTML)
async def show_mailed_link(request: web.Request) -> web.Response:
    """Show the page that a link in a mail leads to; it changes nothing."""
    token = read_query(request, MailedLink).token
    found = await request.app[LINKS_KEY].find(token)
    if found is None:
        return _page(unknown_page(), HTTPStatus.NOT_FOUND)
    return _page(asking_page(found.purpose, token))


@routes.add(
    "POST",
    LINK_PATH,
    permission=Permission.PUBLIC,
    query=MailedLink,
    form=LinkForm,
    media_type=_HTML,
    # The link is what no other site knows, as with a code.
    proves_itself=True,
)
async def follow_mailed_link(request: web.Request) -> web.Response:
    """Confirm an address or set a new password by a link from a mail, as with its code."""
    token = read_query(request, MailedLink).token
    links = request.app[LINKS_KEY]
    found = await links.find(token)
    if found is None:
        return _page(unknown_page(), HTTPStatus.NOT_FOUND)
    try:
        form = await read_form(request, LinkForm)
        await links.follow(found, password=form.password, totp=form.totp or None, origin=origin_of(request))
    except BankError as error:
        return _page(asking_page(found.purpose, token, error.message), status_of(error))
    return _page(done_page(found.purpose))


def _page(text: str, status: int = HTTPStatus.OK) -> web.Response:
    return web.Response(text=text, status=status, content_type=_HTML)
