"""One vocabulary for both sides: the command line refuses exactly what the bank refuses."""

import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from schwifty import IBAN

from daemons.banking_api.money import parse_money
from daemons.banking_api.transactions.models import AccountNumber
from daemons.contracts.errors import InvalidRequestError
from daemons.contracts.vocabulary import (
    explain_mismatch,
    fault_of_account,
    fault_of_amount,
    fault_of_currency,
    fault_of_iban,
    fault_of_name,
    fault_of_reason,
    fault_of_reference,
)
from daemons.contracts.wire import CurrencyCode, Iban, Name, Reason, ReasonGiven, Reference
from daemons.shared.http.requests import check_model

Fault = Callable[[str], str | None]
BOTH_SIDES: list[tuple[Fault, TypeAdapter[Any]]] = [
    (fault_of_reference, TypeAdapter(Reference)),
    (fault_of_name, TypeAdapter(Name)),
    (fault_of_reason, TypeAdapter(Reason)),
    (fault_of_currency, TypeAdapter(CurrencyCode)),
    (fault_of_account, TypeAdapter(AccountNumber)),
    (fault_of_iban, TypeAdapter(Iban)),
]
# Planes with characters in them; in the others every character is like its neighbours.
PLANES = (range(0x20000), range(0xE0000, 0xE1000), range(0x10FF00, 0x110000))
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
texts = st.text(
    st.characters() | st.characters(categories=("Cs", "Cf", "Cc", "Zs", "Zl", "Zp")), max_size=300
)


def _is_taken(adapter: TypeAdapter[Any], text: str) -> bool:
    try:
        adapter.validate_python(text)
    except ValidationError:
        return False
    return True


def _characters() -> Iterator[str]:
    for plane in PLANES:
        yield from map(chr, plane)


@pytest.mark.parametrize("side", BOTH_SIDES[:3], ids=lambda side: side[0].__name__)
def test_every_character_is_taken_by_both_or_by_neither(side: tuple[Fault, TypeAdapter[Any]]) -> None:
    fault_of, adapter = side
    differing = [
        f"U+{ord(one):04X}"
        for one in _characters()
        if (fault_of(text := f"a{one}b") is None) != _is_taken(adapter, text)
    ]
    assert differing == []


@pytest.mark.parametrize("side", BOTH_SIDES, ids=lambda side: side[0].__name__)
def test_every_text_is_taken_by_both_or_by_neither(side: tuple[Fault, TypeAdapter[Any]]) -> None:
    fault_of, adapter = side

    @given(texts | st.from_regex(r"[A-Z]{2,4}|[0-9]{9,11}"))
    @example("")
    @example(" ")
    @example("x" * 140)
    @example("x" * 141)
    @example("  " + "x" * 70 + "  ")
    @example("EUR\n")
    @example("4000000006\n")
    def agree(text: str) -> None:
        assert (fault_of(text) is None) == _is_taken(adapter, text)

    agree()


@given(
    texts | st.from_regex(r"\A[0-9.,+-]{1,30}\Z") | st.from_regex(r"\A(0|[1-9][0-9]{0,20})(\.[0-9]{1,4})?\Z")
)
@example("0.00")
@example("9223372036854775808")
@example("12,50")
def test_an_amount_that_the_command_line_refuses_is_refused_by_the_bank(text: str) -> None:
    if fault_of_amount(text) is not None:
        with pytest.raises(InvalidRequestError):
            # Of all currencies this has the most decimals.
            parse_money(text, "CLF")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("DE89370400440532013000", None),
        ("GB82WEST12345698765432", None),
        ("MT84MALT011000012345MTLCAST001S", None),
        ("DE98370400440532013000", "must be an IBAN; its check digits are wrong, so a character is mistyped"),
        ("DE89370400440532013O00", "must be an IBAN; no account in DE has one like it"),
        ("DE8937040044053201300", "must be an IBAN; no account in DE has one like it"),
        ("XX89370400440532013000", "must be an IBAN; no account in XX has one like it"),
        ("de89370400440532013000", "must be an IBAN such as DE89370400440532013000"),
        ("DE89 3704 0044 0532 0130 00", "must be an IBAN such as DE89370400440532013000"),
        ("", "must be an IBAN such as DE89370400440532013000"),
    ],
)
def test_an_iban_is_checked_whole(text: str, fault: str | None) -> None:
    assert fault_of_iban(text) == fault


@given(st.integers(0, 10**18 - 1), st.integers(4, 21), st.sampled_from("0123456789"))
def test_every_mistyped_digit_of_an_iban_is_found(account: int, place: int, digit: str) -> None:
    iban = str(IBAN.generate("DE", bank_code=f"{account:018d}"[:8], account_code=f"{account:018d}"[8:]))
    assert fault_of_iban(iban) is None
    mistyped = iban[:place] + digit + iban[place + 1 :]
    assert (fault_of_iban(mistyped) is None) == (mistyped == iban)


def test_what_checks_ibans_is_loaded_by_the_first_of_them_only() -> None:
    program = (
        "import sys; from daemons.contracts.vocabulary import fault_of_iban; import bankctl.money; "
        "assert 'schwifty' not in sys.modules; assert fault_of_iban('DE89370400440532013000') is None; "
        "assert 'schwifty' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize(
    "text", ["caf\u00e9\u00a010\u202f000", FAMILY, "\u05e9\u05dc\u05d5\u05dd", "a\u200cb", "\ue000", "\u0378"]
)
def test_no_break_spaces_and_joined_emoji_are_references(text: str) -> None:
    assert fault_of_reference(text) is None
    assert _is_taken(TypeAdapter(Reference), text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rent\tMay", "U+0009 (TAB), which is its character 5"),
        ("\u202egnp", "U+202E (RIGHT-TO-LEFT OVERRIDE), which is its character 1"),
        (f"{FAMILY}\u2028", "U+2028 (LINE SEPARATOR), which is its character 6"),
        ("a\x07", "U+0007 (a control character), which is its character 2"),
        ("a\ud800", "U+D800 (no character: this was not UTF-8), which is its character 2"),
        ("x" * 141, "has 141 characters; 140 are the most"),
    ],
)
def test_what_is_refused_is_named_with_its_place(text: str, told: str) -> None:
    assert told in str(fault_of_reference(text))


@pytest.mark.parametrize(
    "text",
    ["\u200b", "\u3164\u3164", "\u2800", "\u00ad\u034f", "\u115f \u1160", "\ufe0f", "\u0301", "\U000e0041"],
)
def test_a_name_or_a_reason_shows_something(text: str) -> None:
    assert fault_of_name(text) == "must have a character that can be seen"
    assert not _is_taken(TypeAdapter(Name), text)
    assert fault_of_reason(text) == "must have a character that can be seen"
    assert not _is_taken(TypeAdapter(Reason), text)


def test_nothing_in_a_name_sets_the_direction_of_writing() -> None:
    controls = [
        one for one in _characters() if unicodedata.bidirectional(one) in {"LRE", "RLE", "LRO", "RLO", "PDF"}
    ]
    marks = ["\u200e", "\u200f", "\u061c", "\u2066", "\u2067", "\u2068", "\u2069"]
    assert len(controls) == 5
    for one in [*controls, *marks]:
        assert "must not have" in str(fault_of_name(f"Ann {one}eeL"))
        assert not _is_taken(TypeAdapter(Name), f"Ann {one}eeL")


def test_the_bank_names_the_character_too_and_shows_nobody_a_pattern() -> None:
    with pytest.raises(InvalidRequestError) as refused:
        check_model({"reason": "lost\x07"}, ReasonGiven)
    [fault] = refused.value.errors
    assert (fault.field, fault.message) == (
        "reason",
        "must not have U+0007 (a control character), which is its character 5",
    )
    assert not re.search(r"[\\^$*]", explain_mismatch("^[a-z]*$", "A"))
