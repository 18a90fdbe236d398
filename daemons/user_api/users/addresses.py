"""Addresses belong to those who have confirmed them."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from daemons.shared.audit.record import Actor
from daemons.shared.ids import new_id
from daemons.user_api.security_events import SecurityEvent, event_of
from daemons.user_api.unit_of_work import UserTransaction
from daemons.user_api.users.user import email_taken

_NO_MAIL = "unconfirmed.invalid"
"""A domain that no mail reaches (RFC 2606)."""


async def claim_address(
    tx: UserTransaction, email: str, *, for_user: UUID, actor: Actor, at: datetime
) -> None:
    """Free the address for this user, who has proved that they read its mail.

    An unconfirmed user who holds it keeps what else is theirs, and an address that nobody can sign in with by
    chance or write to; their access ends.

    Raises:
        ConflictError: `email_taken`, somebody else has confirmed it.
    """
    holder = await tx.users.find_holder(email)
    if holder is None or holder.id == for_user:
        return
    if holder.email_confirmed:
        raise email_taken()
    await tx.users.save(replace(holder, email=f"{new_id()}@{_NO_MAIL}"))
    await tx.access.end(holder.id)
    tx.audit(event_of(at, actor, SecurityEvent.LOSE_ADDRESS, holder.id, reason="confirmed_by_another"))
