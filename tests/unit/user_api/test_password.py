import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemons.contracts.errors import InvalidRequestError
from daemons.user_api.users.common_passwords import common_passwords
from daemons.user_api.users.password import check_new_password, normalise_password


def check(password: str, *, email: str = "clare@example.com", display_name: str = "Clare Voyant") -> None:
    check_new_password(
        normalise_password(password),
        field="password",
        email=email,
        display_name=display_name,
        common=common_passwords(),
    )


@pytest.mark.parametrize(
    "password",
    [
        "8 chars!", "x1" * 64, "no digits or capitals", "        7", "пароль на весь год",
        "🦉🦊🐻🐸🐙🦋🐢🐌", "correct horse battery stapler", "declared", "clar-e-voyant",
    ],
)  # fmt: skip
def test_length_is_what_counts_not_composition(password: str) -> None:
    if password == "declared":
        check(password, email="dora@example.com")
    else:
        check(password)


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("1234567", "fewer than 8"),
        ("🦉" * 7, "fewer than 8"),
        ("x1" * 64 + "x", "more than 128"),
        ("password", "most common"),
        ("P@ssw0rd", "most common"),
        ("Qwerty123", "most common"),
        ("\uff50assword1", "most common"),
        ("aaaaaaaaaaaa", "most common"),
        ("23456789", "most common"),
        ("hgfedcba", "most common"),
        ("my-CLARE-secret", "name of the email"),
        ("declared", "name of the email"),
        ("clare voyant", "name of the email"),
        ("8 chars of ann", "name of the email"),
    ],
)
def test_what_is_guessed_first_is_refused(password: str, why: str) -> None:
    with pytest.raises(InvalidRequestError, match=why) as refused:
        check(password, email="ann@example.com" if "ann" in password else "clare@example.com")
    assert refused.value.code == "weak_password"
    assert [fault.field for fault in refused.value.errors] == ["password"]


@pytest.mark.parametrize("untypable", ["\r\n", "\t", "\x1b", "\x7f", "\x85", "\u2028"])
def test_what_no_prompt_could_take_is_refused(untypable: str) -> None:
    with pytest.raises(InvalidRequestError, match="control character"):
        check(f"quiet heron{untypable}at dawn")


def test_the_display_name_is_no_password() -> None:
    with pytest.raises(InvalidRequestError, match="display name"):
        check("CLARE voyant ", email="someone@example.com")


def test_a_name_of_two_letters_may_stand_in_a_password() -> None:
    check("jolly hedgehogs", email="jo@example.com")


@given(st.text(max_size=7))
def test_a_refusal_never_repeats_the_password(start: str) -> None:
    password = f"{start}\N{OWL}" + "x" * 128
    with pytest.raises(InvalidRequestError) as refused:
        check(password)
    assert "\N{OWL}" not in refused.value.message
    assert "\N{OWL}" not in str(refused.value.errors)


def test_the_list_holds_only_what_could_be_typed() -> None:
    listed = common_passwords()
    assert len(listed) > 1000
    assert all(len(password) >= 8 and password == password.casefold() for password in listed)
    assert all(normalise_password(password) == password for password in listed)
