from hypothesis import given
from hypothesis import strategies as st

from daemons.banking_api.accounts.number import (
    LARGEST_PAYLOAD,
    SMALLEST_PAYLOAD,
    account_number,
)
from daemons.contracts.vocabulary import fault_of_account

numbers = st.integers(SMALLEST_PAYLOAD, LARGEST_PAYLOAD).map(account_number)


@given(numbers)
def test_numbers_have_ten_digits_and_check(number: str) -> None:
    assert len(number) == 10
    assert fault_of_account(number) is None


@given(numbers, st.integers(0, 9), st.integers(1, 9))
def test_every_single_wrong_digit_is_found(number: str, place: int, off: int) -> None:
    wrong = str((int(number[place]) + off) % 10)
    assert fault_of_account(number[:place] + wrong + number[place + 1 :])


@given(numbers, st.integers(0, 8))
def test_every_swap_of_neighbours_is_found(number: str, place: int) -> None:
    swapped = number[:place] + number[place + 1] + number[place] + number[place + 2 :]
    assert (fault_of_account(swapped) is None) == (swapped == number)


def test_other_texts_are_no_numbers() -> None:
    for text in ("", "123", "settlement:EUR", "12345678901", "٠١٢٣٤٥٦٧٨٩", "0000000000"):
        assert fault_of_account(text)
