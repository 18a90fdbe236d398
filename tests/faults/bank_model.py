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
    """What was asked under a key: a transfer; with no sender a funding, with no receiver a withdrawal.

    A reversal names the transaction that it reverses, and its sides are that one's, turned round.
    """

    by: str
    sender: str | None
    receiver: str | None
    minor: int
    currency: str
    reverses: str | None = None


@dataclass
class BankModel:
    """Accounts by number, and by (person, key) what was asked and what was told."""

    accounts: dict[str, ModelAccount] = field(default_factory=dict)
    told: dict[tuple[str, str], tuple[Asked, str]] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    """What reversals have left of each completed transfer and withdrawal, by its id."""

    def ask(self, key: str, asked: Asked) -> tuple[str, bool]:
        """Return the code the bank has to answer with ("completed" for success), and whether it replays."""
        earlier = self.told.get((asked.by, key))
        if earlier is not None:
            return (earlier[1], True) if earlier[0] == asked else ("idempotency_key_reused", False)
        code = self._refusal(asked) or "completed"
        if code == "completed":
            if asked.receiver is not None:
                self.accounts[asked.receiver].balance_minor += asked.minor
            if asked.sender is not None:
                self.accounts[asked.sender].balance_minor -= asked.minor
            if asked.reverses is not None:
                self.left[asked.reverses] -= asked.minor
        self.told[asked.by, key] = (asked, code)
        return code, False

    def _refusal(self, asked: Asked) -> str | None:
        parties = [self.accounts[side] for side in (asked.sender, asked.receiver) if side is not None]
        found = self._of_reversal(asked, parties) if asked.reverses else self._of_payment(asked, parties)
        short = asked.sender is not None and self.accounts[asked.sender].balance_minor < asked.minor
        return found or ("insufficient_funds" if short else None)

    def _of_payment(self, asked: Asked, parties: list[ModelAccount]) -> str | None:
        if asked.sender is not None and self.accounts[asked.sender].owner != asked.by:
            return "account_not_found"
        for party in parties:
            if party.status != "active":
                return f"account_{party.status}"
        other = any(party.currency != asked.currency for party in parties)
        return "currency_mismatch" if other else None

    def _of_reversal(self, asked: Asked, parties: list[ModelAccount]) -> str | None:
        """No freeze stops what staff take back."""
        assert asked.reverses is not None
        if asked.minor > self.left[asked.reverses]:
            return "beyond_original"
        return "account_closed" if any(party.status == "closed" for party in parties) else None

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
