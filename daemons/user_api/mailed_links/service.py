"""Following links from mail: the link stands for the code, and nothing else is different."""

from daemons.shared.audit.record import Origin
from daemons.user_api.mail.codes import LINKED, Purpose
from daemons.user_api.mail.request import MailRequest
from daemons.user_api.mail.service import CodeCheck
from daemons.user_api.recovery.service import PasswordReset
from daemons.user_api.registration.service import AddressConfirmation


class MailedLinks:
    """Finds what links were mailed for, and carries it out."""

    def __init__(self, check: CodeCheck, confirmation: AddressConfirmation, reset: PasswordReset) -> None:
        self._check = check
        self._confirmation = confirmation
        self._reset = reset

    async def find(self, token: str) -> MailRequest | None:
        """Return the open request of a link; None if it is none's.

        Raises:
            TransientError: `unavailable`.
        """
        request = await self._check.linked(token)
        return request if request is not None and request.purpose in LINKED else None

    async def follow(self, request: MailRequest, *, password: str, totp: str | None, origin: Origin) -> None:
        """Carry out what the link was mailed for; it works once.

        Raises:
            BankError: as `AddressConfirmation.confirm` or `PasswordReset.reset`.
        """
        code = self._check.code_of(request)
        if request.purpose is Purpose.REGISTRATION:
            await self._confirmation.confirm(email=request.email, code=code, password=password, origin=origin)
        else:
            await self._reset.reset(
                email=request.email, code=code, new_password=password, totp=totp, origin=origin
            )
