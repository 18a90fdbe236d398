"""api METHOD PATH."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlsplit

import typer

from bankctl import invocation, prompts
from bankctl.client.bank import open_bank
from bankctl.errors import usage_error
from bankctl.invocation import OutputFormat
from bankctl.payments.pending import check_key
from bankctl.render.output import emit


class Method(StrEnum):
    """The methods that the bank knows."""

    GET = "GET"
    POST = "POST"
    PATCH = "PATCH"
    DELETE = "DELETE"


def api(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="GET, POST, PATCH or DELETE.")],
    path: Annotated[str, typer.Argument(metavar="PATH", help="Such as /accounts?limit=5.")],
    *,
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="JSON", help="The JSON body; @FILE reads a file, @- stdin."),
    ] = None,
    idempotency_key: Annotated[
        str | None, typer.Option("--idempotency-key", metavar="KEY", help="Makes repeating it safe.")
    ] = None,
    anonymous: Annotated[bool, typer.Option("--anonymous", help="Send it without the session.")] = False,
) -> None:
    """Send one request to the bank with your session and print the answer as JSON.

    Examples:
      bankctl api GET /accounts
      bankctl api GET "/events/history?limit=5" --query "items[].type"
      bankctl api POST /accounts --data '{"type": "checking", "currency": "EUR"}' --yes

    Requests other than GET may move money, so the command asks on a terminal; scripts add --yes.
    """
    verb = method.upper()
    if verb not in set(Method):
        raise usage_error(f"{method!r} is not a method; use {', '.join(Method)}", code="unknown_method")
    parts = urlsplit(path)
    if not path.startswith("/") or path.startswith("//") or parts.netloc:
        raise usage_error(
            f"{path!r} is not a path of the bank; a path begins with one slash", code="invalid_path"
        )
    key = check_key(idempotency_key) if idempotency_key is not None else None
    if verb != Method.GET:
        # What a path does is the bank's to know: it may move money.
        prompts.confirm(f"Send {verb} {path}?")
    with open_bank(logged_in=not anonymous) as bank:
        if anonymous:
            bank.http.forget_credentials()
        answer = bank.http.request(
            verb,
            parts.path,
            params=dict(parse_qsl(parts.query, keep_blank_values=True)),
            body=_parse(data),
            idempotency_key=key,
        )
    if invocation.current().output is OutputFormat.TABLE:
        invocation.current().output = OutputFormat.JSON
    emit(answer.data)


def _parse(data: str | None) -> Any:
    if data is None:
        return None
    text = data
    if data == "@-":
        text = sys.stdin.read()
    elif data.startswith("@"):
        try:
            text = Path(data[1:]).read_text(encoding="utf-8")
        except OSError as error:
            raise usage_error(f"{data[1:]} cannot be read: {error.strerror}") from error
    try:
        return json.loads(text)
    except ValueError as error:
        raise usage_error(f"--data is not JSON: {error}", code="invalid_json") from error
