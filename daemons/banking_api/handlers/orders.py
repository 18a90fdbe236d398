"""From a request's body to what a service is asked for."""

from daemons.banking_api.domain.money import parse_money
from daemons.banking_api.handlers.schemas import TransferRequest
from daemons.banking_api.services.transfers import TransferOrder


def order_of(body: TransferRequest) -> TransferOrder:
    """Return the order that a body asks for.

    Raises:
        InvalidRequestError: the currency cannot hold the amount.
    """
    return TransferOrder(
        from_account=body.from_account,
        to_account=body.to_account,
        money=parse_money(body.amount, body.currency),
        reference=body.reference,
    )
