"""Whether a part serves: its port accepts, and its ready address answers as it should."""

import asyncio
import json
import ssl
from typing import NamedTuple
from urllib.parse import urlsplit

from bankctl.local.part import Part
from bankctl.local.ports import LOOPBACK

PROBE_SECONDS = 5.0
_LONGEST_ANSWER_BYTES = 65_536


async def why_not_ready(part: Part) -> str | None:
    """None when the part serves, else the reason it gives or that can be seen from outside."""
    return (await examine(part)).fault


class Examined(NamedTuple):
    """What a part says of itself; both None when all is well."""

    fault: str | None = None
    notice: str | None = None


async def examine(part: Part) -> Examined:
    """Ask a part whether it serves, and whether anything that it owes waits."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            if part.ready_url is None:
                _, writer = await asyncio.open_connection(LOOPBACK, part.port)
                await _close(writer)
                return Examined()
            status, body = await _get(part)
    except TimeoutError:
        return Examined(f"no answer within {PROBE_SECONDS:g} s")
    except FileNotFoundError:
        return Examined("its certificate does not exist yet")
    except (OSError, ValueError, asyncio.IncompleteReadError) as error:
        return Examined(f"port {part.port}: {str(error) or type(error).__name__}")
    if status == part.ready_status:
        return Examined(notice=_reasons_in(body, "notices"))
    reasons = _reasons_in(body, "reasons")
    return Examined(f"{part.ready_url} answers {status}" + (f": {reasons}" if reasons else ""))


async def _get(part: Part) -> tuple[int, bytes]:
    """The status and body of a GET without redirects: all that a probe needs of HTTP."""
    url = urlsplit(part.ready_url or "")
    tls = None
    if url.scheme == "https":
        tls = ssl.create_default_context(cafile=part.trust)
    reader, writer = await asyncio.open_connection(
        LOOPBACK, part.port, ssl=tls, server_hostname=url.hostname if tls else None
    )
    try:
        writer.write(f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: close\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.read(_LONGEST_ANSWER_BYTES)
        return int(head.split(b" ", 2)[1]), body
    finally:
        await _close(writer)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        await writer.wait_closed()
    except OSError:
        return


def _reasons_in(body: bytes, name: str) -> str | None:
    """What a daemon's answer says under a name, in one line."""
    try:
        given = json.loads(body)[name]
    except (ValueError, KeyError, TypeError):
        return None
    if isinstance(given, dict):
        given = [f"{of}: {reason}" for of, reason in given.items()]
    return "; ".join(str(reason) for reason in given)[:300]
