"""Account numbers: ten digits, the last a Damm check digit.

It finds every single wrong digit and every swap of two neighbours (H. M. Damm, 2004), so that a slip is
refused before money is looked for.
"""

import re
from functools import lru_cache

from stdnum import damm

SMALLEST_PAYLOAD = 100_000_000
LARGEST_PAYLOAD = 999_999_999
_FORM = re.compile(r"[1-9][0-9]{9}")


def account_number(payload: int) -> str:
    """Return the number made of nine digits and their check digit."""
    digits = str(payload)
    return digits + str(damm.calc_check_digit(digits))


@lru_cache(maxsize=65_536)
def is_account_number(text: str) -> bool:
    """Tell whether the text has the form of an account number and its check digit is right."""
    return _FORM.fullmatch(text) is not None and bool(damm.is_valid(text))
