"""Asking a gateway what it answers, as a client that trusts its certificate."""

import json
import ssl
import urllib.error
import urllib.request
from typing import Any

from bankctl.local.gateway import TOOLS
from bankctl.local.stack import Stack


def gateway_tools() -> dict[str, str]:
    """What a gateway is made of, as `bankctl dev up` finds it."""
    return {name: str(find()) for name, find in TOOLS.items()}


def get(
    stack: Stack, path: str, *, data: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], dict[str, Any]]:
    """The status, headers and JSON body of a GET, or of a POST if there is something to send."""
    trust = ssl.create_default_context(cafile=str(stack.layout.certificate))
    request = urllib.request.Request(stack.url + path, data=data, headers=headers)  # noqa: S310 - https of this test's stack
    try:
        answer = urllib.request.urlopen(request, context=trust, timeout=20)  # noqa: S310 - same
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        named = {name.lower(): value for name, value in answer.headers.items()}
        return answer.status, named, json.loads(answer.read())
