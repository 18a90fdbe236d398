import pytest

from daemons.contracts.errors import InvalidRequestError
from daemons.user_api.users.confusables import mixes_scripts, poses_as_bank
from daemons.user_api.users.email import normalise_email
from daemons.user_api.users.user import check_strangers_name


@pytest.mark.parametrize(
    "name",
    [
        "(Bank support)", "bankctl", "BankCtl Inc", "BANKCTL", "the bankctl team", "Support",
        "Operator Olga", "Ann (operator)", "Administrator", "admin", "ADMlN", "adrnin", "Bank", "Your Bank",
        "Customer care",
        # A surname is written plainly, last, and behind a given name.
        "The Bank", "the-Bank", "Y0ur Bank", "Y\u043eur Bank", "My Bank", "Bank of Ilse", "Bank Ilse",
        "Ilse (Bank)", "Ilse - Bank", "Ilse, Bank", "Ilse from Bank", "I Bank", "E-Bank", "Ilse B4nk",
        "Ilse \u0412\u0430nk", "Ilse ban\u212a", "Ilse Bank support", "Ilse Bank-Support", "Support Bank",
        "Ilse Bank Ctl", "Bank Bank", "Online Bank", "unknown Bank", "Ilse Bank (operator)", "Ilse B a n k",
        # Other scripts, other forms of the same letters, digits, accents, combining marks.
        "\u0412\u0430nk", "b\u0430nkctl", "\uff22\uff21\uff2e\uff2b",
        "\U0001d401\U0001d41a\U0001d427\U0001d424", "\u24c8\u24e4\u24df\u24df\u24de\u24e1\u24e3", "supp0rt",
        "\u0405upport", "Supp\u043ert", "Suppor\u0442", "B\u0323ank", "\u1e02ank", "b4nkctl", "\u0391dmin",
        "sta\ufb00",
        # Spaced out, run together, or with what cannot be seen between.
        "B a n k", "B.a.n.k", "b a n k c t l", "b-a-n-k-c-t-l", "BankSupport", "bank\u200dctl",
        "ban\u200ckctl", "sup\u20ddport", "Supp\u00adort", "Su\u034fpport", "bank\ufe0fctl",
        # Those who have no name in records.
        "unknown", "Not signed in", "the server's shell",
    ],
)  # fmt: skip
def test_nobody_poses_as_the_bank(name: str) -> None:
    assert poses_as_bank(name)
    with pytest.raises(InvalidRequestError) as refused:
        check_strangers_name(name)
    assert refused.value.code == "invalid_request"
    [fault] = refused.value.errors
    assert (fault.field, fault.message) == (
        "display_name",
        "must not read as the bank's own or its staff's; use your own name",
    )


@pytest.mark.parametrize(
    "name",
    [
        "Ann Lee", "Tyra Banks", "Joe Root", "Bob [/] Ray", "Bankole Ade", "Burbank",
        "Jos\u00e9 \u00c1lvarez", "J\u00fcrgen M\u00fcller", "Adam Minton", "O\u2019Neil",
        "\u0412\u043b\u0430\u0434\u0438\u043c\u0438\u0440", "\u674e\u5c0f\u9f8d",
        "\u0645\u062d\u0645\u062f", "\u05e9\u05dc\u05d5\u05dd", "\u0928\u093f\u0936\u093e",
        "\u1f08\u03b8\u03b7\u03bd\u1fb6", "Stafford", "A. B. C.", "007", "Zo\u00eb", "\U0001f600",
        "Systema Ltd", "Sup Port",
        "Ilse Bank", "Bo Bank", "ILSE BANK", "Ilse M. Bank", "Anne-Marie Bank", "Niels Erik Bank-Mikkelsen",
        "Ilse Lund-Bank", "Mary O\u2019Neil Bank", "Jos\u00e9 Bank", "Jose\u0301 Bank",
    ],
)  # fmt: skip
def test_people_have_their_own_names(name: str) -> None:
    assert not poses_as_bank(name)
    assert check_strangers_name(name) == name


@pytest.mark.parametrize(
    "text", ["p\u0430ypal", "ex\u0430mple", "\u03b1nn", "\u0430nn", "ann\u0301\u043e", "\u0561nn"]
)
def test_a_letter_of_another_script_is_noticed(text: str) -> None:
    assert mixes_scripts(text)
    for address in (f"{text}@example.com", f"ann@{text}.com", f"ann@mail.{text}.example"):
        with pytest.raises(InvalidRequestError) as refused:
            normalise_email(address)
        assert refused.value.code == "invalid_request"
        assert "several scripts" in refused.value.errors[0].message


@pytest.mark.parametrize(
    "address",
    [
        "\u0438\u0432\u0430\u043d@\u043f\u0440\u0438\u043c\u0435\u0440.\u0440\u0444",
        "\u0438\u0432\u0430\u043d.2@example.com",
        "\u0438\u0432\u0430\u043d@example.com",
        # Latin letters beside those of Korea and China, as both write them.
        "a\u6f22\ud55c@example.com",
        "\u592a\u90ceta\u3089@\u4f8b\u3048.example",
        "j\u00fcrgen_9@m\u00fcller.example",
        "\u03bd\u03af\u03ba\u03bf\u03c2@\u03c0\u03b1\u03c1\u03ac.example",
    ],
)
def test_an_address_of_one_script_a_part_is_taken(address: str) -> None:
    assert normalise_email(address) == address
