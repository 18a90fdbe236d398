import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from daemons.contracts.errors import InvalidRequestError
from daemons.user_api.users.email import normalise_email


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("Ann@Example.COM", "ann@example.com"),
        ("ann+bank@mail.example.co.uk", "ann+bank@mail.example.co.uk"),
        ("o'neil@example.ie", "o'neil@example.ie"),
        ("JÜRGEN@Müller.example", "jürgen@müller.example"),
        ("\uff41nn@example.com", "ann@example.com"),
        ("ju\u0308rgen@example.com", "jürgen@example.com"),
        # The longest.
        *((text, text) for text in ["ann@" + "x234567890." * 22 + "example1"]),
    ],
)
def test_one_address_has_one_form(written: str, kept: str) -> None:
    assert normalise_email(written) == kept


@pytest.mark.parametrize(
    "text",
    [
        "", "@", "ann", "ann@", "@example.com", "ann@example", "ann@@example.com", "a b@example.com",
        ".ann@example.com", "ann.@example.com", "an..n@example.com", "ann@.example.com", "ann@example..com",
        "ann@-example.com", "ann@example.c", "ann@example.com.", "<ann@example.com>", "ann@example.com\n",
        "ann@exam\u200bple.com", "a\x00nn@example.com", "ann@[127.0.0.1]", "a" * 65 + "@example.com",
        "ann@" + "x" * 64 + ".com", "ann@" + "x.y" * 90 + ".com", "ann@" + "x234567890." * 22 + "example12",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_naming_the_field(text: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        normalise_email(text)
    assert refused.value.code == "invalid_request"
    [fault] = refused.value.errors
    assert (fault.field, fault.message) == ("email", "must be an address such as name@example.com")


@given(st.one_of(st.text(), st.emails(), st.builds("{}@{}.example".format, st.text(), st.text())))
@example("0@0.0ß")
def test_any_text_is_refused_or_brought_to_a_form_that_stays(text: str) -> None:
    try:
        address = normalise_email(text)
    except InvalidRequestError:
        return
    assert normalise_email(address) == address
    # Not where capitals are another letter's: ß becomes SS.
    if address.upper().lower() == address:
        assert normalise_email(address.upper()) == address
    assert address.isprintable()
    assert address.count("@") == 1
