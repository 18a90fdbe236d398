"""The push channel: SMS and push messages over the services that the operator has configured (Apprise).

Apprise is imported when it is needed: it takes time and memory, and most banks start without it.
"""

import asyncio
import hashlib
from collections.abc import Sequence

from daemons.notifier.channels.port import Message, Refused, Unavailable

PUSH = "push"
_NAME_BYTES = 6


def check_urls(urls: Sequence[str]) -> None:
    """See that Apprise knows the service of each URL.

    Raises:
        ValueError: it does not; the URL is not repeated, for it holds a password.
    """
    if not urls:
        return
    from apprise import Apprise  # noqa: PLC0415 - see above

    for number, url in enumerate(urls, 1):
        if Apprise.instantiate(url) is None:
            raise ValueError(f"the URL in place {number} is none that Apprise knows")


def name_of(url: str) -> str:
    """Return the name of a URL as a recipient; the URL itself, which holds a password, is kept nowhere."""
    return f"push-{hashlib.sha256(url.encode()).hexdigest()[: 2 * _NAME_BYTES]}"


class PushChannel:
    """Sends a message's text; the recipient is the name of one of the URLs."""

    name = PUSH

    def __init__(self, urls: Sequence[str], *, seconds: float) -> None:
        self._urls = {name_of(url): url for url in urls}
        self._seconds = seconds

    @property
    def recipients(self) -> list[str]:
        """The names of the URLs, in their order."""
        return list(self._urls)

    async def send(self, message: Message) -> None:
        """Send the text by the recipient's service.

        Raises:
            Unavailable: the service has not taken it in time.
            Refused: the URL is no longer configured.
        """
        url = self._urls.get(message.recipient)
        if url is None:
            raise Refused("the URL is no longer configured")
        from apprise import Apprise, AppriseAsset  # noqa: PLC0415 - see above

        service = Apprise(asset=AppriseAsset(app_id="bankctl", app_desc="bankctl"))
        service.add(url)
        try:
            async with asyncio.timeout(self._seconds):
                is_taken = await service.async_notify(title=message.subject, body=message.text)
        except TimeoutError:
            raise Unavailable(f"the service did not answer within {self._seconds:g} s") from None
        except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; nobody may see its URL
            raise Unavailable(f"the service failed: {type(error).__name__}") from None
        if not is_taken:
            raise Unavailable("the service did not take it")
