"""The webhook channel: events as signed POSTs to programs elsewhere (Standard Webhooks).

A name is resolved for each connection, every address that it has is judged, and the connection goes to one of
just those, so that no name leads into the bank's own network, whatever it resolves to the next moment.
"""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any, Protocol

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from pydantic_core import to_json
from standardwebhooks import Webhook as Signer
from yarl import URL

from daemons.notifier.channels.addresses import fault_of_address, fault_of_literal
from daemons.notifier.channels.port import Message, Refused, Unavailable
from daemons.shared.clock import Clock

WEBHOOK = "webhook"
_SECONDS = 10.0
_CONNECT_SECONDS = 5.0
_READ_BYTES = 16 * 1024
"""How much of an answer's body is read; nothing in it is used."""
_USER_AGENT = "bankctl-webhooks/1"


@dataclass(frozen=True, slots=True)
class Target:
    """Where messages of one recipient go, and what signs them: the secret, and for a while the one before."""

    url: str
    secrets: Sequence[str] = field(repr=False)


class Targets(Protocol):
    """Knows the recipients, and is told how it went."""

    async def find(self, recipient: str) -> Target:
        """Return where the recipient is.

        Raises:
            Refused: there is no such recipient, or it is disabled.
        """
        ...

    async def succeeded(self, recipient: str) -> None:
        """The recipient has taken a message."""
        ...

    async def failed(self, recipient: str, fault: str, *, for_good: bool) -> None:
        """The recipient has not taken a message; `for_good` if it wants no more."""
        ...


class GoneError(Exception):
    """The receiver answers that it wants no more messages."""


class AddressRefusedError(OSError):
    """The name has an address that nothing may be sent to."""


class GuardedResolver(AbstractResolver):
    """Resolves names, and refuses those that have an address inside."""

    def __init__(self, *, allow_loopback: bool, resolver: AbstractResolver | None = None) -> None:
        self._allow_loopback = allow_loopback
        self._resolver = resolver or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the host's addresses.

        Raises:
            AddressRefusedError: one of them may not be connected to.
        """
        found = await self._resolver.resolve(host, port, family)
        for one in found:
            if fault := fault_of_address(one["host"], allow_loopback=self._allow_loopback):
                raise AddressRefusedError(fault)
        return found

    async def close(self) -> None:
        """Close what resolves."""
        await self._resolver.close()


class WebhookSender:
    """Signs and posts; made and closed with the process."""

    def __init__(
        self,
        *,
        allow_loopback: bool,
        clock: Clock,
        resolver: AbstractResolver | None = None,
        seconds: float = _SECONDS,
    ) -> None:
        self._allow_loopback = allow_loopback
        self._clock = clock
        self._resolver = resolver
        self._seconds = seconds
        self._session: aiohttp.ClientSession | None = None

    async def post(self, target: Target, message_id: str, payload: Mapping[str, Any]) -> None:
        """Post a payload under an id that stays the same when it is sent again.

        Raises:
            Unavailable: the receiver has not taken it.
            GoneError: it answers that it wants no more.
        """
        host = URL(target.url).host or ""
        if fault := fault_of_literal(host, allow_loopback=self._allow_loopback):
            raise Unavailable(fault)
        body = to_json(payload)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": _USER_AGENT,
            **signed_headers(target.secrets, message_id, self._clock(), body),
        }
        try:
            async with self._open().post(
                target.url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                await answer.content.read(_READ_BYTES)
                status = answer.status
                if not answer.content.at_eof():
                    # However long the rest is, it is not waited for.
                    answer.close()
        except aiohttp.ClientConnectorError as error:
            raise Unavailable(_connection_fault(error)) from None
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            raise Unavailable(
                f"no proper answer within {self._seconds:g} s: {type(error).__name__}"
            ) from None
        if status == HTTPStatus.GONE:
            raise GoneError
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise Unavailable(f"answered {status}")

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            resolver = GuardedResolver(allow_loopback=self._allow_loopback, resolver=self._resolver)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, limit_per_host=4),
                timeout=aiohttp.ClientTimeout(total=self._seconds, connect=_CONNECT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                # Nothing is read of a body, so nothing needs to be unpacked.
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


class WebhookChannel:
    """Sends a message's event; the recipient is the webhook's id."""

    name = WEBHOOK

    def __init__(self, targets: Targets, sender: WebhookSender) -> None:
        self._targets = targets
        self._sender = sender

    async def send(self, message: Message) -> None:
        """Post the event, under the delivery's id.

        Raises:
            Unavailable: the receiver has not taken it.
            Refused: the webhook is removed or disabled, or the receiver wants no more.
        """
        if message.event is None:
            raise Refused("a webhook takes events only")
        target = await self._targets.find(message.recipient)
        try:
            await self._sender.post(target, str(message.delivery_id), payload_of(message.event))
        except Unavailable as error:
            await self._targets.failed(message.recipient, str(error), for_good=False)
            raise
        except GoneError:
            fault = "answered 410: it wants no more"
            await self._targets.failed(message.recipient, fault, for_good=True)
            raise Refused(fault) from None
        await self._targets.succeeded(message.recipient)


def payload_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is posted of an event: type, timestamp and data, as Standard Webhooks has them; its id."""
    return {
        "type": event["type"],
        "timestamp": event["time"],
        "id": event["id"],
        "position": event["position"],
        "data": event["data"],
    }


def signed_headers(secrets: Sequence[str], message_id: str, now: datetime, body: bytes) -> dict[str, str]:
    """Return the headers that Standard Webhooks verifies; each secret has a signature of its own."""
    text = body.decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(Signer(secret).sign(message_id, now, text) for secret in secrets),
    }


def _connection_fault(error: aiohttp.ClientConnectorError) -> str:
    reason = error.os_error
    if isinstance(reason, AddressRefusedError):
        return str(reason)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not valid"
    return f"cannot be connected to: {type(reason).__name__}"
