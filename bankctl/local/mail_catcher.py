"""`python -m bankctl.local.mail_catcher PORT FOLDER`: keeps every mail as a file and sends none on."""

import asyncio
import signal
import sys
import time
from itertools import count
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from bankctl.files import write_private
from bankctl.local.mail import RECIPIENT_HEADER, SUFFIX
from bankctl.local.ports import LOOPBACK

MOST_KEPT = 1_000
"""The oldest go first."""


class _Catcher:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = count()

    async def handle_DATA(  # noqa: N802 - the library's name
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        for recipient in envelope.rcpt_tos:
            name = f"{time.time_ns() // 1000:017d}-{next(self._number) % 10_000:04d}{SUFFIX}"
            header = f"{RECIPIENT_HEADER}: {recipient}\r\n".encode()
            write_private(self._folder / name, header + content)
        for old in sorted(self._folder.glob(f"*{SUFFIX}"))[:-MOST_KEPT]:
            old.unlink(missing_ok=True)
        return "250 OK"


async def _serve(port: int, folder: Path) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    catcher = _Catcher(folder)
    server = await loop.create_server(lambda: SMTP(catcher, enable_SMTPUTF8=True, loop=loop), LOOPBACK, port)
    async with server:
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), Path(sys.argv[2])))
