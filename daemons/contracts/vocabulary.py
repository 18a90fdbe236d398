"""How amounts, currencies, account numbers and texts are written: one rule for daemons and command line.

Of the daemons' modules bankctl imports this one alone, so it loads quickly and needs no package of theirs.
Each `fault_of_*` returns what is wrong as a phrase that follows the name of the field, None if nothing is.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

LONGEST_REFERENCE = 140
LONGEST_NAME = 70
LONGEST_REASON = 280
PARTS_NAMED = 8
"""How many parts' events a digest of events names in one answer."""
PART_DIGITS = 32
"""How many hexadecimal digits the digest of a part has."""
BATCH_LIMIT = 500
"""Rows of one batch of transfers."""
CONFIRMED_LIMIT = 1000
"""Payments, or batches of them, that one code of the second factor confirms."""
CARRIED_LIMIT = 1000
"""Accounts whose changes by earlier rows a preview takes."""
IDS_LIMIT = 500
"""Events or transactions that one request may name."""
MOST_KEY_DAYS = 366
"""Days for which an API key may be made."""

AMOUNT = re.compile(r"(0|[1-9][0-9]{0,18})(?:\.([0-9]{1,6}))?")
"""A decimal without sign, grouping or exponent: what is typed is what is paid. Groups: whole, fraction."""

CURRENCY_PATTERN = r"^[A-Z]{3}$"
API_KEY_PREFIX = "bk_"
IDEMPOTENCY_KEY_PATTERN = r"^[\x21-\x7e]{1,128}$"
DECIMAL_PATTERN = r"^-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,6})?$"
UUID_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"

# Control characters, line separators, and what embeds or overrides the direction of writing.
_NO_TEXT = r"\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069"
# A name stands beside other names: nothing in it may set a direction at all (Bidi_Control of Unicode).
_NO_NAME = rf"{_NO_TEXT}\u061c\u200e\u200f\ufeff"
TEXT_PATTERN = f"^[^{_NO_TEXT}]*$"
NAME_PATTERN = f"^[^{_NO_NAME}]*$"

_ACCOUNT_NUMBER = re.compile(r"[1-9][0-9]{9}")
_CURRENCY = re.compile(CURRENCY_PATTERN)
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_IDEMPOTENCY_KEY = re.compile(IDEMPOTENCY_KEY_PATTERN.strip("^$"))
# Lone surrogates are not text; at the bank, JSON and pydantic refuse them.
_REFUSED = {TEXT_PATTERN: rf"[{_NO_TEXT}\ud800-\udfff]", NAME_PATTERN: rf"[{_NO_NAME}\ud800-\udfff]"}
_CONTROLS = {"\t": "TAB", "\n": "LINE FEED", "\r": "CARRIAGE RETURN", "\0": "NULL", "\x1b": "ESCAPE"}
# Letters and symbols by category that show nothing: fillers of Hangul, and the empty pattern of Braille.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800")
_SHOWN = frozenset("LNPS")
# White_Space of Unicode, as pydantic strips it; Python's own strip takes four separators more.
_WHITE = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)


def batch_digest(transfers: Sequence[Mapping[str, object]]) -> str:
    """Return what stands for the rows of a batch where it is confirmed.

    It is the SHA-256, in hexadecimal digits, of the JSON of `transfers` in the canonical form of RFC 8785.
    """
    # Only batches that are confirmed need them.
    import hashlib  # noqa: PLC0415
    import json  # noqa: PLC0415

    canonical = json.dumps(list(transfers), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def fault_of_amount(text: str) -> str | None:
    """Say what is wrong with a positive decimal amount such as `12.50`."""
    if not AMOUNT.fullmatch(text):
        comma = " (write a point, not a comma)" if "," in text else ""
        return f"must be a decimal such as 12.50{comma}"
    return None if text.strip("0.") else "must be more than zero"


@lru_cache(maxsize=1024)
def fault_of_currency(text: str) -> str | None:
    """Say what is wrong with the form of an ISO 4217 code such as `EUR`."""
    return None if _CURRENCY.fullmatch(text) else "must be a currency code such as EUR"


def check_digit(digits: str) -> str:
    """The check digit of an account number (H. M. Damm, 2004), by the digits before it."""
    # Slow to load, and only account numbers need it.
    from stdnum import damm  # noqa: PLC0415

    return str(damm.calc_check_digit(digits))


@lru_cache(maxsize=65_536)
def fault_of_account(text: str) -> str | None:
    """Say what is wrong with an account number: ten digits, the last a check digit (H. M. Damm, 2004).

    The check digit finds every single wrong digit and every swap of two neighbours.
    """
    if not _ACCOUNT_NUMBER.fullmatch(text):
        return "must be an account number: ten digits, the first not zero"
    return (
        None
        if check_digit(text[:-1]) == text[-1]
        else "must be an account number; its check digit is wrong, so a digit is mistyped"
    )


@lru_cache(maxsize=1024)
def fault_of_iban(text: str) -> str | None:
    """Say what is wrong with an IBAN (ISO 13616) in capitals and without spaces."""
    if not _IBAN.fullmatch(text):
        return "must be an IBAN such as DE89370400440532013000"
    # It takes 0.12 s to load, and only payments to outside accounts need it.
    from schwifty import IBAN  # noqa: PLC0415
    from schwifty.exceptions import InvalidChecksumDigits, SchwiftyException  # noqa: PLC0415

    try:
        IBAN(text)
    except InvalidChecksumDigits:
        return "must be an IBAN; its check digits are wrong, so a character is mistyped"
    except SchwiftyException:
        return f"must be an IBAN; no account in {text[:2]} has one like it"
    return None


def fault_of_idempotency_key(text: str) -> str | None:
    """Say what is wrong with a key that makes a request safe to repeat."""
    if _IDEMPOTENCY_KEY.fullmatch(text):
        return None
    return "must be 1 to 128 printable ASCII characters without spaces"


def fault_of_reference(text: str) -> str | None:
    """Say what is wrong with what a receiver reads; names the first character that is refused."""
    return _fault_of_text(text, TEXT_PATTERN, LONGEST_REFERENCE)


def fault_of_reason(text: str) -> str | None:
    """Say what is wrong with a reason, whose surrounding white space does not count."""
    return _fault_of_text(text.strip(_WHITE), TEXT_PATTERN, LONGEST_REASON) or fault_of_blank(text)


def fault_of_name(text: str) -> str | None:
    """Say what is wrong with a name, whose surrounding white space does not count."""
    return _fault_of_text(text.strip(_WHITE), NAME_PATTERN, LONGEST_NAME) or fault_of_blank(text)


def fault_of_blank(text: str) -> str | None:
    """Say that nothing of a text can be seen, if that is so."""
    import unicodedata  # noqa: PLC0415  # payments need it only for a fault

    if any(unicodedata.category(one)[0] in _SHOWN and one not in _BLANK for one in text):
        return None
    return "must have a character that can be seen" if text else "must not be empty"


def refused_character(text: str, pattern: str) -> str | None:
    """Name the first character that TEXT_PATTERN or NAME_PATTERN refuses, and its place."""
    # Nothing that is printable throughout is refused, and that is known at once.
    found = None if text.isprintable() else re.search(_REFUSED[pattern], text)
    if found is None:
        return None
    import unicodedata  # noqa: PLC0415  # only a fault needs it

    character = found[0]
    is_text = unicodedata.category(character) != "Cs"
    kind = "a control character" if is_text else "no character: this was not UTF-8"
    name = unicodedata.name(character, None) or _CONTROLS.get(character, kind)
    return f"must not have U+{ord(character):04X} ({name}), which is its character {found.start() + 1}"


def _fault_of_text(text: str, pattern: str, longest: int) -> str | None:
    if len(text) > longest:
        return f"has {len(text)} characters; {longest} are the most"
    return refused_character(text, pattern)


def _saying(sentence: str) -> Callable[[str], str]:
    return lambda _: sentence


_MISMATCHES: Mapping[str, Callable[[str], str | None]] = {
    TEXT_PATTERN: lambda text: refused_character(text, TEXT_PATTERN),
    NAME_PATTERN: lambda text: refused_character(text, NAME_PATTERN),
    CURRENCY_PATTERN: fault_of_currency,
    DECIMAL_PATTERN: _saying("must be a decimal such as 12.50"),
    UUID_PATTERN: _saying("must be a UUID in lower case, such as 0190a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b"),
}


def explain_mismatch(pattern: str, text: str) -> str:
    """Say why a text does not match a pattern; people are never shown the pattern itself."""
    return _MISMATCHES.get(pattern, _saying(""))(text) or "does not have the form that belongs here"
