"""E-mail over real SMTP: what is sent, and what a refusal means for trying again."""

import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from daemons.notifier.channels.email import EmailChannel
from daemons.notifier.channels.port import Message, Refused, Unavailable
from daemons.shared.ids import new_id
from tests.support.certificates import issue
from tests.support.smtp import smtp_server, text_of

FROM = "The Bank <no-reply@bank.example>"


def message(recipient: str = "ann@example.com", subject: str = "Hello") -> Message:
    return Message(
        new_id(), recipient, subject, "A text.", "<p>A text.</p>", unsubscribe_url="https://b/u?t=1"
    )


async def test_a_mail_has_text_html_and_the_headers_that_machines_look_at() -> None:
    async with smtp_server() as smtp:
        channel = EmailChannel(smtp.connection(), sender=FROM)
        sent = message()
        await channel.send(sent)
        await channel.close()
    [mail] = smtp.mails
    assert smtp.recipients == ["ann@example.com"]
    assert (mail["From"], mail["To"], mail["Subject"]) == (FROM, "ann@example.com", "Hello")
    assert mail["Message-ID"] == f"<{sent.delivery_id}@bank.example>"
    assert mail["List-Unsubscribe"] == "<https://b/u?t=1>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert (text_of(mail).strip(), text_of(mail, "html").strip()) == ("A text.", "<p>A text.</p>")


async def test_no_value_can_add_a_header_or_a_recipient() -> None:
    async with smtp_server() as smtp:
        channel = EmailChannel(smtp.connection(), sender=FROM)
        await channel.send(message(subject="Hello\r\nBcc: eve@example.com\r\n\r\nbody"))
        for address in (
            "ann@example.com\r\nBcc: eve@example.com",
            "ann@example.com, eve@example.com",
            "ann",
            "",
        ):
            with pytest.raises(Refused):
                await channel.send(message(address))
        await channel.close()
    [mail] = smtp.mails
    assert smtp.recipients == ["ann@example.com"]
    assert "Bcc" not in mail
    assert mail["Subject"] == "Hello Bcc: eve@example.com body"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("550 5.1.1 no such user", Refused), ("451 4.7.1 greylisted", Unavailable)],
)
@pytest.mark.parametrize("step", ["at_rcpt", "at_data"])
async def test_a_5xx_is_final_and_a_4xx_is_not(answer: str, expected: type[Exception], step: str) -> None:
    async def refuse(_recipient: str, _before: int) -> str:
        return answer

    async with smtp_server() as smtp:
        setattr(smtp, step, refuse)
        channel = EmailChannel(smtp.connection(), sender=FROM)
        with pytest.raises(expected, match=answer[:3]):
            await channel.send(message())
        await channel.close()


async def test_a_relay_that_is_away_or_cuts_the_line_is_worth_another_try() -> None:
    async def cut(_recipient: str, _before: int) -> str:
        return "cut"

    async with smtp_server() as smtp:
        smtp.at_data = cut
        channel = EmailChannel(smtp.connection(), sender=FROM)
        with pytest.raises(Unavailable):
            await channel.send(message())
    with pytest.raises(Unavailable):
        await channel.send(message())
    await channel.close()


async def test_connections_are_used_again() -> None:
    async with smtp_server() as smtp:
        channel = EmailChannel(smtp.connection(), sender=FROM)
        for _ in range(5):
            await channel.send(message())
        await channel.close()
    assert (smtp.connections, len(smtp.mails)) == (1, 5)


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_the_relay_proves_itself_before_it_gets_a_password(security: str, tmp_path: Path) -> None:
    files = issue(tmp_path, "relay")
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(files.certificate, files.key)
    login = ("bank", "secret")
    given = {"starttls": served} if security == "starttls" else {"tls": served}
    async with smtp_server(login=login, **given) as smtp:  # type: ignore[arg-type]
        server = smtp.connection(
            security=security, username="bank", password="secret", ca_file=str(files.authority)
        )
        good = EmailChannel(server, sender=FROM)
        await good.send(message())
        await good.close()
        with pytest.raises(Unavailable):
            await EmailChannel(replace(server, ca_file=""), sender=FROM).send(message())
        with pytest.raises(Unavailable, match="535"):
            await EmailChannel(replace(server, password="wrong"), sender=FROM).send(message())
    assert len(smtp.mails) == 1


async def test_without_starttls_at_the_relay_nothing_is_sent_in_the_clear() -> None:
    async with smtp_server() as smtp:
        with pytest.raises(Unavailable):
            await EmailChannel(smtp.connection(security="starttls"), sender=FROM).send(message())
    assert smtp.mails == []
