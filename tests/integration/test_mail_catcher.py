"""The mail catcher of the local stack as a process, and `bankctl dev mail`, which reads what it holds."""

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bankctl.local.layout import Layout
from bankctl.local.mail import await_mail, kept_mail, mail_part
from daemons.notifier.channels.email import EmailChannel, SmtpServer
from daemons.notifier.channels.port import Message, Unavailable
from daemons.shared.ids import new_id
from tests.support.waiting import eventually


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout("local", tmp_path)


@pytest.fixture
def catcher(layout: Layout) -> Iterator[SmtpServer]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(mail_part(layout, port).command)
    try:
        yield SmtpServer("127.0.0.1", port, "none")
    finally:
        process.terminate()
        assert process.wait(30) == 0


async def test_mail_is_kept_and_shown_by_its_recipient(layout: Layout, catcher: SmtpServer) -> None:
    channel = EmailChannel(catcher, sender="Bank <no-reply@bank.example>")

    async def sent() -> bool:
        try:
            await channel.send(Message(new_id(), "ann@example.com", "First", "Hello, Ann.", "<p>Hello</p>"))
        except Unavailable:
            return False
        return True

    await eventually(sent)
    await channel.send(Message(new_id(), "bo@example.com", "Přišlo 1,00\u00a0EUR", "Ahoj."))
    await channel.close()
    assert [mail["subject"] for mail in kept_mail(layout, to=None)] == ["Přišlo 1,00\u00a0EUR", "First"]
    [to_ann] = await_mail(layout, to="Ann@Example.com", wait_seconds=5)
    assert (to_ann["text"].strip(), to_ann["html"].strip()) == ("Hello, Ann.", "<p>Hello</p>")
    assert await_mail(layout, to="eve@example.com", wait_seconds=0) == []
    assert (layout.root / "mail").stat().st_mode & 0o777 == 0o700
