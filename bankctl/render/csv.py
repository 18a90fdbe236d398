"""CSV (RFC 4180) that tells empty from absent and runs in no spreadsheet.

An absent value is an empty field, an empty text is `""`, as PostgreSQL writes them. Text that a spreadsheet
would run gets an apostrophe in front, and so does text that begins with one: who reads the text back
takes one apostrophe away. Numbers stay numbers.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bankctl.render.text import clean, dump_json

# OWASP, CSV Injection. Spreadsheets skip spaces in front, and take the full-width forms for the same.
_RUN_BY_SPREADSHEETS = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20']|[\t\r\n]")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_NEEDS_QUOTES = re.compile(r'[",\r\n]|^\s|\s$|^$')


def csv_line(values: Sequence[Any]) -> str:
    """One record, without a line end; None is absent."""
    fields = [_field(value) for value in values]
    # A lone absent value would be a blank line, which readers skip.
    return '""' if fields == [""] else ",".join(fields)


def _field(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    raw = dump_json(value) if isinstance(value, Mapping | list) else str(value)
    text = clean(raw)
    if (_RUN_BY_SPREADSHEETS.match(raw) or _RUN_BY_SPREADSHEETS.match(text)) and not _NUMBER.fullmatch(raw):
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES.search(text) else text
