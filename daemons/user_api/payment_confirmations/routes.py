"""The route of confirmations."""

from aiohttp import web

from daemons.contracts.permissions import Permission
from daemons.shared.http.answers import json_response
from daemons.shared.http.origin import origin_of
from daemons.shared.http.requests import caller_of, read_body
from daemons.shared.http.routes import Routes
from daemons.user_api.payment_confirmations.models import ConfirmPayments, PaymentConfirmationList
from daemons.user_api.payment_confirmations.service import PaymentConfirmations

routes = Routes("second factor")
CONFIRMATIONS_KEY = web.AppKey("payment_confirmations", PaymentConfirmations)
_BODY_BYTES = 1024 * 1024


@routes.add(
    "POST",
    "/auth/payment-confirmations",
    # What is left to sessions: a key that nobody attends has no second factor at hand.
    permission=Permission.MANAGE_OWN_ACCESS,
    body=ConfirmPayments,
    answer=PaymentConfirmationList,
    status=201,
    maximum_body_bytes=_BODY_BYTES,
)
async def confirm_payments(request: web.Request) -> web.Response:
    """Confirm payments by a code of the second factor; each confirmation is good for one of them."""
    body = await read_body(request, ConfirmPayments)
    tokens, expires_at = await request.app[CONFIRMATIONS_KEY].confirm(
        caller_of(request), body.payments, code=body.totp, origin=origin_of(request)
    )
    return json_response(PaymentConfirmationList(confirmations=tokens, expires_at=expires_at), status=201)
