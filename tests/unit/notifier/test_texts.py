"""The texts of messages: in every language, with values that stay values."""

from pathlib import Path

import pytest

import daemons.notifier.messages.texts as texts_module
from daemons.contracts.events.account_changed import AccountChanged
from daemons.contracts.names import Language, NoticeType
from daemons.notifier.messages.texts import MissingValueError, Texts, UnknownTemplateError

TEXTS = Texts()
FOLDER = Path(texts_module.__file__).with_name("templates")
VALUES = dict.fromkeys(
    ["name", "account", "amount", "other", "description", "reference", "time", "transaction", "reason"],
    "value",
) | {"currency": "EUR", "code": "ABCD-EFGH", "link": "https://bank.example/l?token=t"}


def test_every_message_is_there_in_every_language() -> None:
    names = {language: {path.stem for path in (FOLDER / language).glob("*.txt")} for language in Language}
    assert names[Language.ENGLISH] == names[Language.CZECH]
    changes = AccountChanged.model_fields["change"].annotation.__args__  # type: ignore[union-attr]
    told = {notice.value for notice in (NoticeType.MONEY_IN, NoticeType.MONEY_OUT, NoticeType.REFUSED)}
    assert {*told, *(f"account_{change}" for change in changes)} <= names[Language.ENGLISH]


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("name", ["money_in", "refused", "account_frozen", "confirm_registration", "test"])
def test_a_message_has_a_subject_a_text_and_html_with_its_styles_inside(
    name: str, language: Language
) -> None:
    written = TEXTS.write(name, language, VALUES, unsubscribe_url="https://bank.example/u?t=1")
    assert written.subject
    assert "\n" not in written.subject
    assert "https://bank.example/u?t=1" in written.text
    assert 'href="https://bank.example/u?t=1"' in written.html
    assert "<style" not in written.html
    assert 'style="' in written.html


def test_values_are_escaped_cut_and_lose_line_ends() -> None:
    evil = "<script>alert(1)</script>\r\nBcc: eve@example.com\n\nDear customer\u202e " + "x" * 1000
    written = TEXTS.write("money_in", Language.ENGLISH, VALUES | {"reference": evil, "amount": "1\n\n2"})
    assert written.subject.startswith("1 2 received")
    assert "<script>" not in written.html
    assert "&lt;script&gt;" in written.html
    assert "\nDear customer" not in written.text
    assert "\u202e" not in written.text
    assert "x" * 600 not in written.text


def test_a_value_is_no_template() -> None:
    written = TEXTS.write("test", Language.ENGLISH, {"name": "{{ 7 * 7 }}"})
    assert "{{ 7 * 7 }}" in written.text


@pytest.mark.parametrize("name", ["none", "../en/test", "layout", "", "A"])
def test_what_is_no_message_is_refused(name: str) -> None:
    with pytest.raises(UnknownTemplateError):
        TEXTS.write(name, Language.ENGLISH, VALUES)


def test_a_missing_value_is_refused() -> None:
    with pytest.raises(MissingValueError, match="code"):
        TEXTS.write("reset_password", Language.ENGLISH, {"name": "Ann"})


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("name", ["confirm_registration", "reset_password"])
def test_a_link_stands_beside_the_code_and_leads_there_in_html(name: str, language: Language) -> None:
    written = TEXTS.write(name, language, VALUES)
    assert "\n\nABCD-EFGH\n\n" in written.text
    assert "\n\nhttps://bank.example/l?token=t\n\n" in written.text
    assert '<a href="https://bank.example/l?token=t">https://bank.example/l?token=t</a>' in written.html
