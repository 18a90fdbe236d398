"""Notices of what happened to a user's access, to every address that is theirs."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from daemons.contracts.wire import format_instant
from daemons.user_api.mail.codes import Purpose
from daemons.user_api.mail.message import NOTICE_LIFETIME, CodeOf, OwedMessage, Template
from daemons.user_api.mail.request import MailRequest
from daemons.user_api.unit_of_work import UserTransaction


class Addressee(Protocol):
    """A user, as far as messages need to know."""

    @property
    def id(self) -> UUID:
        """Who it is."""
        ...

    @property
    def email(self) -> str:
        """Where messages go."""
        ...

    @property
    def display_name(self) -> str:
        """How messages address the user."""
        ...


async def notify(
    tx: UserTransaction,
    user: Addressee,
    template: Template,
    at: datetime,
    *,
    request: MailRequest | None = None,
    **values: str,
) -> None:
    """Owe a notice to the user's address, and to those that a change can still be undone from.

    Somebody who takes a user over changes the address first: the one before must hear what follows. The code
    of the request, if there is one, is in the message to its address only.
    """
    before = {one.email for one in await tx.requests.find_open_of(user.id, Purpose.UNDO, at)}
    code = None if request is None else CodeOf(purpose=request.purpose, request_id=request.id)
    for email in sorted({user.email, *before}):
        await tx.messages.owe(
            OwedMessage(
                template=template,
                email=email,
                name=user.display_name,
                user_id=user.id,
                values={"at": format_instant(at), **values},
                code=code if request is not None and email == request.email else None,
                owed_at=at,
                expires_at=at + NOTICE_LIFETIME,
            )
        )
