"""The texts of messages: one file for each message and language, from which text and HTML are made.

The first line of a file is the subject, paragraphs follow after a blank line. Values are data: they are cut,
lose their control characters, and are escaped in HTML; none can add a line or a header.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import css_inline
from jinja2 import (
    Environment,
    FileSystemLoader,
    StrictUndefined,
    TemplateNotFound,
    UndefinedError,
    select_autoescape,
)

from daemons.contracts.names import Language

_FOLDER = Path(__file__).with_name("templates")
_LONGEST_VALUE = 500
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_SPACES = re.compile(r"[ \t\n]+")
"""Not the ones that keep an amount together."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,49}")
_CODE = "code"
_LINK = "link"


class UnknownTemplateError(Exception):
    """There is no message of this name."""


class MissingValueError(Exception):
    """The message needs a value that was not given."""


@dataclass(frozen=True, slots=True)
class Text:
    """A message as it goes out."""

    subject: str
    text: str
    html: str


class Texts:
    """Writes messages. The templates are read once and kept."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(_FOLDER),
            autoescape=select_autoescape(enabled_extensions=("html",), default=False),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._inliner = css_inline.CSSInliner(load_remote_stylesheets=False)

    def write(
        self,
        name: str,
        language: Language,
        values: Mapping[str, str],
        *,
        unsubscribe_url: str | None = None,
    ) -> Text:
        """Write a message.

        Raises:
            UnknownTemplateError: there is none of this name.
            MissingValueError: a value is missing.
        """
        shown = {key: " ".join(_CONTROL.split(value))[:_LONGEST_VALUE] for key, value in values.items()}
        subject, *paragraphs = self._paragraphs(name, language, shown)
        footer = self._paragraphs("footer", language, {"unsubscribe_url": unsubscribe_url or ""})
        page = self._environment.get_template("layout.html").render(
            language=language.value,
            subject=subject,
            paragraphs=paragraphs,
            code=shown.get(_CODE),
            link=shown.get(_LINK),
            footer=footer[0],
            unsubscribe_label=footer[1],
            unsubscribe_url=unsubscribe_url,
        )
        end = [footer[0]] if unsubscribe_url is None else [footer[0], f"{footer[1]}: {unsubscribe_url}"]
        text = "\n\n".join([*paragraphs, "-- \n" + "\n".join(end)]) + "\n"
        return Text(subject, text, self._inliner.inline(page))

    def _paragraphs(self, name: str, language: Language, values: Mapping[str, str]) -> list[str]:
        if not _NAME.fullmatch(name):
            raise UnknownTemplateError(name)
        try:
            written = self._environment.get_template(f"{language.value}/{name}.txt").render(values)
        except TemplateNotFound:
            raise UnknownTemplateError(name) from None
        except UndefinedError as error:
            raise MissingValueError(str(error)) from None
        return [
            " ".join(_SPACES.split(part)).strip() for part in re.split(r"\n\s*\n", written) if part.strip()
        ]
