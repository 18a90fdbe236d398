"""A plain model of the bank: what every account should be, and what every request should be told."""

from dataclasses import dataclass, field

OWNER_KEYS = ("alice", "bob")


@dataclass
class ModelAccount:
    owner: str
    currency: str
    balance_minor: int = 0
    status: str = "active"


@dataclass(frozen=True)
class Asked:
    """What was asked under a key: a transfer, or with no sender a funding."""

    by: str
    sender: str | None
    receiver: str
    minor: int
    currency: str


@dataclass
class BankModel:
    """Accounts by number, and by (person, key) what was asked and what was told."""

    accounts: dict[str, ModelAccount] = field(default_factory=dict)
    told: dict[tuple[str, str], tuple[Asked, str]] = field(default_factory=dict)

    def ask(self, key: str, asked: Asked) -> tuple[str, bool]:
        """Return the code the bank has to answer with ("completed" for success), and whether it replays."""
        earlier = self.told.get((asked.by, key))
        if earlier is not None:
            return (earlier[1], True) if earlier[0] == asked else ("idempotency_key_reused", False)
        code = self._refusal(asked) or "completed"
        if code == "completed":
            self.accounts[asked.receiver].balance_minor += asked.minor
            if asked.sender is not None:
                self.accounts[asked.sender].balance_minor -= asked.minor
        self.told[asked.by, key] = (asked, code)
        return code, False

    def _refusal(self, asked: Asked) -> str | None:
        receiver = self.accounts[asked.receiver]
        parties = [receiver]
        if asked.sender is not None:
            sender = self.accounts[asked.sender]
            if sender.owner != asked.by:
                return "account_not_found"
            parties.insert(0, sender)
        for party in parties:
            if party.status != "active":
                return f"account_{party.status}"
        for party in parties:
            if party.currency != asked.currency:
                return "currency_mismatch"
        if asked.sender is not None and self.accounts[asked.sender].balance_minor < asked.minor:
            return "insufficient_funds"
        return None

    def freeze(self, account: str) -> str:
        found = self.accounts[account]
        if found.status != "active":
            return f"account_already_{found.status}"
        found.status = "frozen"
        return "done"

    def unfreeze(self, account: str) -> str:
        found = self.accounts[account]
        if found.status != "frozen":
            return "account_already_closed" if found.status == "closed" else "account_not_frozen"
        found.status = "active"
        return "done"

    def close(self, account: str, by: str) -> str:
        found = self.accounts[account]
        if found.owner != by:
            return "account_not_found"
        if found.status != "active":
            return f"account_already_{found.status}"
        if found.balance_minor != 0:
            return "account_not_empty"
        found.status = "closed"
        return "done"
