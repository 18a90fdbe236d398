"""A real SMTP server of the tests, which takes mail, refuses, delays and cuts as a test says."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from daemons.notifier.channels.email import SmtpServer

Answer = Callable[[str, int], Awaitable[str | None]]
"""What a step answers, given the recipient and how often it was asked; None for yes."""


async def yes(_recipient: str, _before: int) -> None:
    """Agree."""


class SmtpOfTests:
    """Keeps every mail that it accepted, in order; `raw` counts each acceptance, repeats too."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.at_rcpt: Answer = yes
        self.at_data: Answer = yes
        self.connections = 0
        self.port = 0
        self._asked: dict[tuple[str, str], int] = {}
        self._transports: list[asyncio.BaseTransport] = []

    async def handle_RCPT(  # noqa: N802 - the library's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if (answer := await self._ask(self.at_rcpt, "rcpt", address)) is not None:
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - the library's name
        self, server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        [recipient] = envelope.rcpt_tos
        answer = await self._ask(self.at_data, "data", recipient)
        if answer == "cut":
            # The mail is taken and the line is cut before the answer.
            self._take(envelope)
            assert server.transport is not None
            server.transport.abort()
            return "250 OK"
        if answer is not None:
            return answer
        self._take(envelope)
        return "250 OK"

    def _take(self, envelope: Envelope) -> None:
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        self.recipients += envelope.rcpt_tos

    async def _ask(self, answer: Answer, step: str, recipient: str) -> str | None:
        before = self._asked.get((step, recipient), 0)
        self._asked[step, recipient] = before + 1
        return await answer(recipient, before)

    def to(self, address: str) -> list[EmailMessage]:
        return [mail for mail, taker in zip(self.mails, self.recipients, strict=True) if taker == address]

    def connection(self, **settings: Any) -> SmtpServer:
        """How to reach it."""
        return SmtpServer("127.0.0.1", self.port, **{"security": "none", "timeout_seconds": 5, **settings})


def text_of(mail: EmailMessage, kind: str = "plain") -> str:
    """The text or the HTML of a mail."""
    part = mail.get_body(preferencelist=(kind,))
    assert part is not None
    content = part.get_content()
    assert isinstance(content, str)
    return content


@asynccontextmanager
async def smtp_server(
    *,
    port: int = 0,
    starttls: ssl.SSLContext | None = None,
    tls: ssl.SSLContext | None = None,
    login: tuple[str, str] | None = None,
) -> AsyncIterator[SmtpOfTests]:
    """Run one on the loopback interface."""
    handler = SmtpOfTests()

    def authenticate(
        _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any
    ) -> AuthResult:
        good = (data.login.decode(), data.password.decode()) == login
        return AuthResult(success=good, handled=good)

    def connect() -> SMTP:
        handler.connections += 1
        protocol = SMTP(
            handler,
            tls_context=starttls,
            require_starttls=starttls is not None,
            auth_required=login is not None and starttls is not None,
            auth_require_tls=starttls is not None,
            authenticator=authenticate if login else None,
            enable_SMTPUTF8=True,
            loop=asyncio.get_running_loop(),
        )
        protocols.append(protocol)
        return protocol

    protocols: list[SMTP] = []
    server = await asyncio.get_running_loop().create_server(connect, "127.0.0.1", port, ssl=tls)
    handler.port = server.sockets[0].getsockname()[1]
    try:
        yield handler
    finally:
        server.close()
        for protocol in protocols:
            if protocol.transport is not None:
                protocol.transport.abort()
        await server.wait_closed()
