"""Mailing codes, and checking those that come back."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar
from uuid import UUID

from daemons.shared.clock import Clock
from daemons.user_api.mail.codes import MailedCodes, Purpose, request_named_by
from daemons.user_api.mail.message import CodeOf, OwedMessage, Template
from daemons.user_api.mail.notices import Addressee
from daemons.user_api.mail.request import MOST_MESSAGES, MOST_OPEN, MailRequest, invalid_code
from daemons.user_api.mail.storage import MongoMailRequests
from daemons.user_api.unit_of_work import UserTransaction

OwnerT = TypeVar("OwnerT")


async def mail_request(
    tx: UserTransaction, request: MailRequest, template: Template, *, name: str, with_code: bool = True
) -> None:
    """Open the request, or go on with the one that is open for the same, and owe the message with its code.

    A decoy takes the same steps. After some messages a request has none more, so that nobody fills a mailbox;
    the code that was mailed stays good.
    """
    now = request.created_at
    found = await tx.requests.find_open(request.purpose, request.email, now)
    fresh = [one for one in found if one.user_id == request.user_id and one.is_fresh(now)]
    if fresh:
        request = replace(fresh[0], messages=fresh[0].messages + 1)
        await tx.requests.count_message(request)
    else:
        await tx.requests.open(request)
    await tx.messages.owe(
        OwedMessage(
            template=template,
            email=request.email,
            name=name,
            user_id=request.user_id,
            code=CodeOf(purpose=request.purpose, request_id=request.id) if with_code else None,
            owed_at=now,
            expires_at=request.expires_at,
            decoy=request.user_id is None or request.messages > MOST_MESSAGES or len(found) >= MOST_OPEN,
        )
    )


async def mail_holder(tx: UserTransaction, request: MailRequest, holder: Addressee) -> None:
    """Tell the confirmed holder of the address that somebody asked for it, at the cost of a mailed code."""
    taken = replace(request, purpose=Purpose.TAKEN_ADDRESS, user_id=holder.id, data={})
    await mail_request(tx, taken, Template.ADDRESS_TAKEN, name=holder.display_name, with_code=False)


class CodeCheck:
    """Finds the request that a typed code answers."""

    def __init__(self, requests: MongoMailRequests, codes: MailedCodes, *, clock: Clock) -> None:
        self._requests = requests
        self._codes = codes
        self._clock = clock

    async def find(self, purpose: Purpose, email: str, typed: str) -> MailRequest | None:
        """Return the open request whose code this is; None if it is none's.

        Raises:
            TransientError: `unavailable`.
        """
        return self._answered(await self._requests.find_open(purpose, email, self._clock()), typed)

    async def find_with_owner(
        self, purpose: Purpose, email: str, typed: str, owner: Callable[[UUID], Awaitable[OwnerT | None]]
    ) -> tuple[MailRequest, OwnerT]:
        """Return the open request whose code this is, and whose it is, by `owner`.

        Raises:
            UnauthenticatedError: `invalid_code`; it is none's, or of nobody who is there.
            TransientError: `unavailable`.
        """
        request = await self.find(purpose, email, typed)
        found = None if request is None or request.user_id is None else await owner(request.user_id)
        if request is None or found is None:
            raise invalid_code()
        return request, found

    async def find_of(self, user_id: UUID, purpose: Purpose, typed: str) -> MailRequest | None:
        """Return the user's open request whose code this is, wherever it was mailed; None if it is none's.

        Raises:
            TransientError: `unavailable`.
        """
        return self._answered(await self._requests.find_open_of(user_id, purpose, self._clock()), typed)

    async def linked(self, token: str) -> MailRequest | None:
        """Return the open request whose link this is; None if it is none's.

        Raises:
            TransientError: `unavailable`.
        """
        request = await self._requests.find_named(request_named_by(token), self._clock())
        if request is None or request.user_id is None:
            return None
        return request if self._codes.proves(request.purpose, request.id, token) else None

    def code_of(self, request: MailRequest) -> str:
        """Return the code that a link to the request stands for."""
        return self._codes.code(request.purpose, request.id)

    def _answered(self, requests: list[MailRequest], typed: str) -> MailRequest | None:
        return next(
            (
                one
                for one in requests
                if one.user_id is not None and self._codes.matches(one.purpose, one.id, typed)
            ),
            None,
        )
