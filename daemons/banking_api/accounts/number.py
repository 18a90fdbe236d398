"""Account numbers: ten digits, the last a Damm check digit.

It finds every single wrong digit and every swap of two neighbours (H. M. Damm, 2004), so that a slip is
refused before money is looked for.
"""

from daemons.contracts.vocabulary import check_digit

SMALLEST_PAYLOAD = 100_000_000
LARGEST_PAYLOAD = 999_999_999


def account_number(payload: int) -> str:
    """Return the number made of nine digits and their check digit."""
    digits = str(payload)
    return digits + check_digit(digits)
