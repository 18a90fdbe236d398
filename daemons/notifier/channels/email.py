"""E-mail by SMTP (RFC 5321). DKIM is left to the relay that takes the mail."""

import re
import ssl
import time
from dataclasses import dataclass, field
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime, parseaddr

import aiosmtplib

from daemons.notifier.channels.port import Message, Refused, Unavailable
from daemons.shared.clock import utc_now

_PERMANENT = 500
_IDLE_SECONDS = 10.0
"""A connection that has not been used for so long is closed instead of used again."""
_MESSAGES_PER_CONNECTION = 100
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where mail is handed over, how the connection is secured, and as whom."""

    host: str
    port: int
    security: str
    """`starttls`, `tls` (from the first byte) or `none`."""
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""
    """Trusted beside nothing else, for a relay with a certificate of one's own authority."""
    timeout_seconds: float = 20.0


@dataclass(slots=True)
class _Connection:
    smtp: aiosmtplib.SMTP
    used_at: float
    messages: int = 0


class EmailChannel:
    """Sends each message to one address; connections are kept for the next messages."""

    name = "email"

    def __init__(self, server: SmtpServer, *, sender: str) -> None:
        """Make one; `sender` is an address, perhaps with a name: `Bank <no-reply@bank.example>`."""
        self._server = server
        self._sender = _sender(sender)
        self._tls = None if server.security == "none" else _tls_context(server)
        self._idle: list[_Connection] = []

    async def send(self, message: Message) -> None:
        """Hand the mail to the relay.

        Raises:
            Unavailable: no connection, or a passing refusal (4xx).
            Refused: a permanent refusal (5xx) of the address or the mail, or no address at all.
        """
        mail = self._mail(message)
        try:
            connection = await self._connect()
            try:
                await connection.smtp.send_message(mail)
            except BaseException:
                connection.smtp.close()
                raise
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise _refusal(error.recipients[0]) from None
        except (
            aiosmtplib.SMTPSenderRefused,
            aiosmtplib.SMTPDataError,
            aiosmtplib.SMTPRecipientRefused,
        ) as error:
            raise _refusal(error) from None
        except aiosmtplib.SMTPResponseException as error:
            # Of the greeting, TLS or the password: the relay refuses the bank, not the mail.
            raise Unavailable(f"the relay answers {_answer(error)}") from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise Unavailable(f"the relay is away: {type(error).__name__}") from None
        self._keep(connection)

    async def close(self) -> None:
        """Close the connections that are kept."""
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.smtp.close()

    async def _connect(self) -> _Connection:
        while self._idle:
            kept = self._idle.pop()
            if kept.smtp.is_connected and time.monotonic() - kept.used_at < _IDLE_SECONDS:
                return kept
            kept.smtp.close()
        server = self._server
        smtp = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username or None,
            password=server.password or None,
            use_tls=server.security == "tls",
            start_tls=server.security == "starttls",
            tls_context=self._tls,
            timeout=server.timeout_seconds,
        )
        try:
            await smtp.connect()
        except BaseException:
            smtp.close()
            raise
        return _Connection(smtp, time.monotonic())

    def _keep(self, connection: _Connection) -> None:
        connection.messages += 1
        connection.used_at = time.monotonic()
        if connection.messages < _MESSAGES_PER_CONNECTION and connection.smtp.is_connected:
            self._idle.append(connection)
        else:
            connection.smtp.close()

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage(policy=SMTP_POLICY)
        try:
            mail["From"] = self._sender
            mail["To"] = Address(addr_spec=message.recipient)
            mail["Subject"] = " ".join(_CONTROL.split(message.subject))
        except (ValueError, IndexError, MessageError):
            raise Refused("that is no e-mail address") from None
        mail["Date"] = format_datetime(utc_now())
        mail["Message-ID"] = f"<{message.delivery_id}@{self._sender.domain}>"
        # RFC 3834: no holiday notices, please.
        mail["Auto-Submitted"] = "auto-generated"
        if message.unsubscribe_url is not None:
            # RFC 2369 and RFC 8058: mail programs offer it as one click.
            mail["List-Unsubscribe"] = f"<{message.unsubscribe_url}>"
            mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        mail.set_content(message.text)
        if message.html is not None:
            mail.add_alternative(message.html, subtype="html")
        return mail


def check_sender(text: str) -> str:
    """Return what is an address, perhaps with a name.

    Raises:
        ValueError: it is none.
    """
    try:
        _sender(text)
    except (ValueError, IndexError, MessageError):
        raise ValueError("is no address, such as `Bank <no-reply@bank.example>`") from None
    return text


def _sender(text: str) -> Address:
    name, address = parseaddr(text)
    return Address(display_name=name, addr_spec=address)


def _tls_context(server: SmtpServer) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=server.ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _refusal(error: aiosmtplib.SMTPResponseException) -> Refused | Unavailable:
    answer = f"the relay refuses it: {_answer(error)}"
    return Refused(answer) if error.code >= _PERMANENT else Unavailable(answer)


def _answer(error: aiosmtplib.SMTPResponseException) -> str:
    return " ".join(_CONTROL.split(f"{error.code} {error.message}"))
