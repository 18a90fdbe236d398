"""What is shown of a customer where staff need no more."""

_SHOWN = 4


def initials_of(name: str) -> str:
    """Return `A. O.` of Ann Other."""
    return " ".join(f"{word[0]}." for word in name.split())


def masked_email(address: str) -> str:
    """Return `a…@example.com` of ann@example.com."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}…@{domain}"


def masked_number(account: str) -> str:
    """Return the end of an account number or an IBAN: `…0006`."""
    return f"…{account[-_SHOWN:]}"
