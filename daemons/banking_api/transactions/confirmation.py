"""What the bank asks of a payment before it is decided: a confirmation by the second factor, or nothing.

Where the setting is off, nothing comes here. Only the decision tells whether a payment needed one, so that
a request that is repeated gets the outcome that was kept.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from daemons.banking_api.kinds.confirmation import Confirmation
from daemons.banking_api.money import whole_minor
from daemons.contracts.names import PAYMENT_CONFIRMATION_HEADER
from daemons.contracts.permissions import Permission
from daemons.contracts.vocabulary import batch_digest
from daemons.shared.auth.callers import Caller
from daemons.shared.auth.payment_confirmations import Confirmed
from daemons.shared.auth.signed_tokens import InvalidTokenError
from daemons.shared.clock import Clock

ConfirmationOf = Callable[[str], Confirmation]
"""Returns what is known of the payments in a currency."""
_NO_LIMIT = Decimal(0)


class ConfirmationPolicy:
    """Above how much a day payments must be confirmed, by currency; in other currencies all must."""

    def __init__(
        self,
        limits: Mapping[str, Decimal],
        verify: Callable[[str], Awaitable[Confirmed]],
        *,
        clock: Clock,
    ) -> None:
        self._limits = limits
        self._verify = verify
        self._clock = clock

    async def of_payment(
        self, headers: Mapping[str, str], caller: Caller, payment: Mapping[str, Any]
    ) -> Confirmation | None:
        """Return what is known of one payment, given as it was ordered; None if it needs none.

        Raises:
            TransientError: `unavailable`, a confirmation cannot be verified at the moment.
        """
        if _pays_unconfirmed(caller):
            return None
        known = await self._known(headers, caller, lambda confirmed: confirmed == payment)
        return known(str(payment["currency"]))

    async def of_batch(
        self, headers: Mapping[str, str], caller: Caller, transfers: Sequence[Mapping[str, object]]
    ) -> ConfirmationOf | None:
        """Return what is known of the rows of a batch, given as they were sent; None if they need none.

        Raises:
            TransientError: see `of_payment`.
        """
        if _pays_unconfirmed(caller):
            return None
        return await self._known(headers, caller, lambda confirmed: _is_of_batch(confirmed, transfers))

    async def _known(
        self,
        headers: Mapping[str, str],
        caller: Caller,
        is_meant: Callable[[Mapping[str, Any]], bool],
    ) -> ConfirmationOf:
        token = headers.get(PAYMENT_CONFIRMATION_HEADER)
        id_, is_refused = None, False
        if token is not None:
            id_ = await self._confirmation(token, caller.user_id, is_meant)
            is_refused = id_ is None
        day = self._clock().date().isoformat()
        found: dict[str, Confirmation] = {}

        def known(currency: str) -> Confirmation:
            confirmation = found.get(currency)
            if confirmation is None:
                limit = whole_minor(self._limits.get(currency, _NO_LIMIT), currency)
                confirmation = found[currency] = Confirmation(id_, day, limit, is_refused)
            return confirmation

        return known

    async def _confirmation(
        self, token: str, user_id: UUID, is_meant: Callable[[Mapping[str, Any]], bool]
    ) -> str | None:
        """Return the id of a confirmation by this user of just this; None if it is not one."""
        try:
            confirmed = await self._verify(token)
        except InvalidTokenError:
            return None
        return str(confirmed.id) if confirmed.user_id == user_id and is_meant(confirmed.payment) else None


def _pays_unconfirmed(caller: Caller) -> bool:
    """Tell whether it is an API key that was made, with the second factor, to pay within a budget."""
    return caller.scopes is not None and Permission.PAY_UNCONFIRMED in caller.scopes


def _is_of_batch(confirmed: Mapping[str, Any], transfers: Sequence[Mapping[str, object]]) -> bool:
    return (
        confirmed.get("digest") == batch_digest(transfers)
        and confirmed.get("rows") == len(transfers)
        and _decimals(confirmed.get("totals", {})) == _totals(transfers)
    )


def _totals(transfers: Sequence[Mapping[str, object]]) -> dict[str, Decimal]:
    totals: dict[str, Decimal] = {}
    for row in transfers:
        try:
            amount = Decimal(str(row.get("amount")))
        except InvalidOperation:
            # A malformed row is refused by itself.
            continue
        currency = str(row.get("currency"))
        totals[currency] = totals.get(currency, Decimal(0)) + amount
    return totals


def _decimals(amounts: Mapping[str, str]) -> dict[str, Decimal]:
    return {currency: Decimal(amount) for currency, amount in amounts.items()}
