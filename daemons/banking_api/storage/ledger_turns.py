"""Several processes that write to one ledger take turns, and each leaves a note of what it has changed.

A turn is a document that a transaction writes first, a group's or that of an account's change: of two that
meet there the second is undone before it has done anything, and begins anew when the first is over. By the
notes of the turns since its own last one, a process brings what it knows of accounts up to date, without
reading them.

None of it guards money, which the journal's index does: a note that is missing costs another attempt.
"""

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pymongo import ReturnDocument

from daemons.banking_api.domain.account import Account, AccountStatus
from daemons.banking_api.domain.decision import LedgerAccount
from daemons.shared.mongo import LONGEST_PAUSE_SECONDS, Database, Document, Session

NOTES_KEPT = 256
"""Whoever has missed more turns than that forgets what it knew."""
_PATIENCE_SECONDS = 2.0
"""Who waits longer goes on without: a process killed in its turn keeps it until its transaction ends."""
_NOW = "now"
_LATELY_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class NotedAccount:
    """What a turn has left of an account. The status belongs to it: a number stands for one whole state."""

    id: str
    status: AccountStatus
    balance_minor: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Missed:
    """What others have left of accounts, oldest first. Unless it is all, nothing older can be relied on."""

    accounts: Sequence[NotedAccount] = ()
    all_known: bool = True


class LedgerTurns:
    """This process's turns among those of all."""

    def __init__(self, database: Database) -> None:
        self._turns = database["turns"]
        self._last: int | None = None
        """The last turn whose changes this process knows; None if it was not there, or posted on its own."""
        self._untold = False
        self._in_a_row = 0
        self._others_seen = -_LATELY_SECONDS

    async def step_back(self) -> None:
        """After two turns in a row let another process go first if there is one.

        Whoever has just had a turn knows first that it is over, and could win each time.
        """
        if self._in_a_row > 1 and time.monotonic() - self._others_seen < _LATELY_SECONDS:
            self._in_a_row = 0
            await asyncio.sleep(LONGEST_PAUSE_SECONDS)

    async def take(self, session: Session, *, waiting_since: float) -> int | None:
        """Begin a turn by a transaction's first statement; returns its number.

        It is None for whoever has waited too long, by `time.monotonic`: nothing but speed rests on turns.

        Raises:
            OperationFailure: another process has the turn; the transaction is to be begun anew.
        """
        if time.monotonic() - waiting_since > _PATIENCE_SECONDS:
            return None
        now = await self._turns.find_one_and_update(
            {"_id": _NOW},
            {"$inc": {"number": 1}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        assert now is not None  # noqa: S101 - it is made if it is not there
        return int(now["number"])

    async def missed(self, number: int, session: Session) -> Missed:
        """Return what others have changed since this process's last turn."""
        if self._last is None:
            return Missed(all_known=False)
        wanted = range(self._last + 1, number)
        if not wanted:
            return Missed()
        self._others_seen = time.monotonic()
        if len(wanted) > NOTES_KEPT:
            return Missed(all_known=False)
        query = {"_id": {"$in": [turn % NOTES_KEPT for turn in wanted]}}
        found = await self._turns.find(query, session=session).to_list()
        notes = sorted(found, key=lambda note: note["turn"])
        untold = [index for index, note in enumerate(notes) if note["untold"]]
        # What was posted outside of turns was written down before it was told that there is more.
        since = untold[-1] if untold else 0
        accounts = [account for note in notes[since:] for account in _noted(note)]
        return Missed(accounts, all_known=not untold)

    async def leave_note(
        self, number: int, changed: Collection[LedgerAccount | Account], session: Session
    ) -> None:
        """Write down, in the turn's own transaction, what it changes."""
        note: Document = {
            "turn": number,
            # What was posted outside of turns stands in no note: whoever reads this must forget what it knew.
            "untold": self._untold,
            "accounts": [account.id for account in changed],
            "statuses": [account.status.value for account in changed],
            "balances": [account.balance_minor for account in changed],
            "sequences": [account.sequence for account in changed],
        }
        await self._turns.replace_one({"_id": number % NOTES_KEPT}, note, upsert=True, session=session)

    def done(self, number: int | None) -> None:
        """Remember up to which turn all changes are known here; None for a group posted outside of turns."""
        self._in_a_row = self._in_a_row + 1 if number is not None and number - 1 == self._last else 1
        self._last = number
        self._untold = number is None


def _noted(note: Document) -> list[NotedAccount]:
    return [
        NotedAccount(id_, AccountStatus(status), balance_minor, sequence)
        for id_, status, balance_minor, sequence in zip(
            note["accounts"], note["statuses"], note["balances"], note["sequences"], strict=True
        )
    ]
