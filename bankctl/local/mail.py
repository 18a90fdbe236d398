"""The mail of a local stack: the catcher as a part, and what it holds."""

import sys
import time
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from bankctl.files import ensure_private_directory
from bankctl.local.layout import Layout
from bankctl.local.part import Part
from bankctl.times import written

SUFFIX = ".eml"
RECIPIENT_HEADER = "Delivered-To"
"""To whom the mail was handed over, whatever its other headers say."""
_LOOK_SECONDS = 0.2
_MICROSECONDS = 1_000_000


def mail_folder(layout: Layout) -> Path:
    """Where the catcher keeps mail."""
    return layout.root / "mail"


def mail_part(layout: Layout, port: int) -> Part:
    """The part that takes mail and sends none on."""
    folder = mail_folder(layout)
    ensure_private_directory(folder)
    return Part(
        name="mail",
        port=port,
        command=[sys.executable, "-m", "bankctl.local.mail_catcher", str(port), str(folder)],
        stop_seconds=5.0,
        stop_rank=1,
    )


def mail_environment(port: int, host: str) -> dict[str, str]:
    """How the notifier hands mail to the catcher; the loopback interface needs no TLS."""
    return {"SMTP_HOST": host, "SMTP_PORT": str(port), "SMTP_SECURITY": "none"}


def kept_mail(layout: Layout, *, to: str | None) -> list[dict[str, Any]]:
    """The mail that the catcher holds, newest first, perhaps only that to one address."""
    found = [_read(path) for path in sorted(mail_folder(layout).glob(f"*{SUFFIX}"), reverse=True)]
    return [mail for mail in found if mail and (to is None or mail["to"].casefold() == to.casefold())]


def await_mail(layout: Layout, *, to: str | None, wait_seconds: float) -> list[dict[str, Any]]:
    """The same, once there is any or the wait is over."""
    deadline = time.monotonic() + wait_seconds
    while True:
        found = kept_mail(layout, to=to)
        if found or time.monotonic() >= deadline:
            return found
        time.sleep(_LOOK_SECONDS)


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        # The catcher has removed it meanwhile, for there are too many.
        return {}
    mail = message_from_bytes(raw, policy=default)
    received = datetime.fromtimestamp(int(path.stem.partition("-")[0]) / _MICROSECONDS, UTC)
    return {
        "id": path.stem,
        "received_at": written(received),
        "from": str(mail["From"] or ""),
        "to": str(mail[RECIPIENT_HEADER] or ""),
        "subject": str(mail["Subject"] or ""),
        "message_id": str(mail["Message-ID"] or ""),
        "unsubscribe": str(mail["List-Unsubscribe"] or "").strip("<>"),
        "text": _body(mail, "plain"),
        "html": _body(mail, "html"),
    }


def _body(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body(preferencelist=(kind,))
    return "" if part is None else str(part.get_content())
