"""Confirming payments: a person proves the second factor for just these (docs/adr/0034)."""

from collections.abc import Sequence
from datetime import datetime

from daemons.contracts.errors import ConflictError
from daemons.shared.audit.record import Origin
from daemons.shared.auth.callers import Caller
from daemons.shared.auth.payment_confirmations import LIFETIME, ConfirmationSigner, Confirmed
from daemons.shared.clock import Clock
from daemons.shared.ids import new_id
from daemons.user_api.attempts.service import AttemptCounter
from daemons.user_api.payment_confirmations.models import ConfirmedBatch, ConfirmedPayment
from daemons.user_api.second_factor.factor import totp_required
from daemons.user_api.second_factor.service import FactorProof
from daemons.user_api.security_events import SecurityEvent, acting, event_of
from daemons.user_api.unit_of_work import UserWork
from daemons.user_api.users.service import Users

_KEPT_IN_FULL = 10
"""So many payments of one code are in its audit entry; of more, how many there are."""


class PaymentConfirmations:
    """What users do to confirm their payments."""

    def __init__(
        self,
        work: UserWork,
        users: Users,
        attempts: AttemptCounter,
        proof: FactorProof,
        signer: ConfirmationSigner,
        *,
        clock: Clock,
    ) -> None:
        self._work = work
        self._users = users
        self._attempts = attempts
        self._proof = proof
        self._signer = signer
        self._clock = clock

    async def confirm(
        self,
        caller: Caller,
        payments: Sequence[ConfirmedPayment | ConfirmedBatch],
        *,
        code: str | None,
        origin: Origin,
    ) -> tuple[list[str], datetime]:
        """Return a confirmation of each payment, and until when they are good.

        Raises:
            ConflictError: `totp_not_active`, the caller has none.
            UnauthenticatedError: `totp_required` without a code, `invalid_totp`.
            TransientError: `rate_limited` or `unavailable`.
        """
        user = await self._users.find(caller.user_id)
        if not user.second_factor:
            raise ConflictError(
                "totp_not_active", "This payment is confirmed by a second factor; enrol one first."
            )
        if code is None:
            raise totp_required()
        refused = SecurityEvent.CONFIRMATION_REFUSED
        async with self._attempts.counted(user.email, origin, refused, actor=user.acting(origin)):
            await self._proof.prove(user, code, origin=origin)
        now, id_ = self._clock(), new_id()
        after = {
            "confirmation": str(id_),
            "count": len(payments),
            "payments": [payment.audit_fields() for payment in payments[:_KEPT_IN_FULL]],
        }
        entry = event_of(now, acting(caller, origin), SecurityEvent.CONFIRM_PAYMENT, user.id, after=after)
        # What is given out has its entry: it is written first.
        async for attempt in self._work.attempts():
            async with attempt as tx:
                tx.audit(entry)
        tokens = [
            self._signer.sign(Confirmed(id_, user.id, payment.model_dump(exclude_none=True)), at=now)
            for payment in payments
        ]
        return tokens, now + LIFETIME
