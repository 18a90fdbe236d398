"""API keys: what scripts and machines call with, in the header `Authorization: Bearer bk_...`."""

import hashlib
from collections.abc import Mapping

from daemons.contracts.vocabulary import API_KEY_PREFIX

API_KEY_HEADER = "Authorization"


def api_key_in(headers: Mapping[str, str]) -> str | None:
    """Return the API key that a request carries; access tokens and service tokens are none."""
    header = headers.get(API_KEY_HEADER)
    if header is None:
        return None
    scheme, _, credential = header.partition(" ")
    is_key = scheme.lower() == "bearer" and credential.startswith(API_KEY_PREFIX)
    return credential if is_key else None


def api_key_digest(key: str) -> str:
    """Return the form in which a key is kept and asked about; 256 random bits need no slow hash."""
    return hashlib.sha256(key.encode()).hexdigest()
