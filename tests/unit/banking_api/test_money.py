import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemons.banking_api.money import (
    LARGEST_MINOR,
    Money,
    check_currency,
    exponent_of,
    format_minor,
    parse_money,
)
from daemons.contracts.errors import InvalidRequestError


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("12.34", "EUR", 1234),
        ("12", "EUR", 1200),
        ("12.3", "EUR", 1230),
        ("0.01", "CZK", 1),
        ("500", "JPY", 500),
        ("1.234", "IQD", 1234),
        ("92233720368547758.07", "EUR", LARGEST_MINOR),
    ],
)
def test_amounts_are_read_to_the_minor_unit(amount: str, currency: str, minor: int) -> None:
    assert parse_money(amount, currency) == Money(minor, currency)


@pytest.mark.parametrize(
    ("amount", "currency", "field", "says"),
    [
        ("12.345", "EUR", "amount", "EUR has 2 decimals, 3 were given"),
        ("1.0", "JPY", "amount", "JPY has 0 decimals, 1 were given"),
        ("0", "EUR", "amount", "more than zero"),
        ("0.00", "EUR", "amount", "more than zero"),
        ("-1", "EUR", "amount", "decimal such as 12.50"),
        ("+1", "EUR", "amount", "decimal such as 12.50"),
        ("1e3", "EUR", "amount", "decimal such as 12.50"),
        ("1,5", "EUR", "amount", "decimal such as 12.50"),
        ("01", "EUR", "amount", "decimal such as 12.50"),
        (".5", "EUR", "amount", "decimal such as 12.50"),
        ("5.", "EUR", "amount", "decimal such as 12.50"),
        ("NaN", "EUR", "amount", "decimal such as 12.50"),
        ("١٢", "EUR", "amount", "decimal such as 12.50"),
        ("", "EUR", "amount", "decimal such as 12.50"),
        ("92233720368547758.08", "EUR", "amount", "largest amount"),
        ("1", "XXX", "currency", "ISO 4217"),
        ("1", "XAU", "currency", "ISO 4217"),
        ("1", "QQQ", "currency", "ISO 4217"),
    ],
)
def test_other_amounts_are_refused_with_the_field(amount: str, currency: str, field: str, says: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        parse_money(amount, currency)
    [fault] = refused.value.errors
    assert fault.field == field
    assert says in fault.message
    assert refused.value.code == "invalid_request"
    assert refused.value.message == f"The request is malformed: {field}: {fault.message}."


def test_the_largest_amount_is_named_in_the_currency_that_was_asked_for() -> None:
    with pytest.raises(InvalidRequestError, match=r"largest amount, 9223372036854775\.807\."):
        parse_money("9223372036854775.808", "IQD")


@pytest.mark.parametrize("currency", ["EUR", "JPY"])
def test_a_currency_in_use_is_taken(currency: str) -> None:
    assert check_currency(currency) == currency


@pytest.mark.parametrize("currency", ["XAU", "QQQ", "eur", ""])
def test_no_other_currency_is_taken(currency: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        check_currency(currency)
    [fault] = refused.value.errors
    assert (fault.field, currency in fault.message) == ("currency", True)


@pytest.mark.parametrize(
    ("minor", "currency", "amount"),
    [(1234, "EUR", "12.34"), (-5, "EUR", "-0.05"), (0, "EUR", "0.00"), (500, "JPY", "500")],
)
def test_the_form_on_the_wire_has_all_decimals(minor: int, currency: str, amount: str) -> None:
    view = Money(minor, currency).view()
    assert (view.amount, view.currency) == (amount, currency)


@given(st.integers(1, LARGEST_MINOR), st.sampled_from(["EUR", "JPY", "IQD", "CZK", "CLF"]))
def test_what_is_written_is_read_back(minor: int, currency: str) -> None:
    assert parse_money(format_minor(minor, currency), currency).minor == minor


@given(st.integers(-LARGEST_MINOR, LARGEST_MINOR))
def test_every_signed_amount_is_written_with_all_decimals(minor: int) -> None:
    text = format_minor(minor, "EUR")
    whole, _, fraction = text.lstrip("-").partition(".")
    assert len(fraction) == exponent_of("EUR")
    assert int(whole + fraction) * (-1 if text.startswith("-") else 1) == minor
