"""Which bank this is (banking_api)."""

from dataclasses import dataclass

from bankctl.client.http import Transport


@dataclass(frozen=True, slots=True)
class BankIdentity:
    """The bank's own id, which stays when its address changes, and how many rows its batches may have."""

    bank_id: str
    batch_limit: int
    atomic_limit: int


def ask_identity(http: Transport) -> BankIdentity:
    """Ask the bank who it is; nobody needs to be signed in for that."""
    found = http.request("GET", "/bank").data
    return BankIdentity(str(found["bank_id"]), int(found["batch_limit"]), int(found["atomic_limit"]))
