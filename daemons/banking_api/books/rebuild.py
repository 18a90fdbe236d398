"""Rebuilds the collection of accounts from the journal, of which it is a cache, while payments go on.

Every slice of accounts is written in a transaction that has first read what was sealed since the last one.
A change that is committed later conflicts with the slice, or finds it written; so no older terms overwrite
newer ones.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daemons.banking_api.ledger.account import Account, Entry, Terms
from daemons.banking_api.ledger.documents import account_document, entry_from
from daemons.banking_api.ledger.journal import Journal
from daemons.contracts.errors import ConflictError
from daemons.contracts.names import AccountStatus
from daemons.shared.audit.record import Actor, AuditEntry
from daemons.shared.audit.trail import MongoAuditTrail
from daemons.shared.audit.unit_of_work import AuditedTransaction, UnitOfWork
from daemons.shared.clock import Clock
from daemons.shared.mongo import Client, Database, Document, Session, run_transaction
from daemons.shared.progress import Progress

_ACCOUNTS_AT_ONCE = 250
_SEALS_AT_ONCE = 100
_NOTHING = Terms(None, None, AccountStatus.ACTIVE, "")


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """How many accounts there are, how many were missing or otherwise, and how many no record opens."""

    accounts: int
    changed: int
    removed: int


class AccountRebuilder:
    """Rebuilds the cache of one ledger's accounts; one at a time."""

    def __init__(self, client: Client, database: Database, audit: MongoAuditTrail, *, clock: Clock) -> None:
        self._client = client
        self._accounts = database["accounts"]
        self._records = database["journal"]
        self._journal = Journal(database)
        self._work = UnitOfWork(client, audit, AuditedTransaction)
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()

    async def rebuild(self, by: Actor, progress: Progress, *, reason: str) -> Rebuilt:
        """Write every account as its records say, and remove what no record opens.

        Raises:
            TransientError, OutcomeUnknownError: not all is done; it may be done again.
        """
        async with self._one_at_a_time:
            fold = _Fold((await self._journal.head()).number)
            await self._read_changes(fold, progress)
            changed = await self._write(fold, progress)
            removed = await self._remove_unknown(fold, progress)
            rebuilt = Rebuilt(len(fold.changes), changed, removed)
            entry = _entry(rebuilt, by=by, reason=reason, clock=self._clock)
            async for attempt in self._work.attempts():
                async with attempt as tx:
                    tx.audit(entry)
            return rebuilt

    async def _read_changes(self, fold: "_Fold", progress: Progress) -> None:
        progress.enter("journal", total=await self._records.estimated_document_count())
        cursor = self._records.find({"entries.change": {"$exists": True}}, {"entries": 1})
        async for document in cursor.batch_size(_ACCOUNTS_AT_ONCE):
            fold.add(entry_from(entry) for entry in document["entries"])
            progress.done += 1

    async def _write(self, fold: "_Fold", progress: Progress) -> int:
        written: set[str] = set()
        changed = 0
        progress.enter("accounts", total=len(fold.changes))
        # Accounts that are opened meanwhile come into the fold as slices are written.
        while ids := [id_ for id_ in fold.changes if id_ not in written]:
            for start in range(0, len(ids), _ACCOUNTS_AT_ONCE):
                part = ids[start : start + _ACCOUNTS_AT_ONCE]

                async def write(session: Session, part: Sequence[str] = part) -> int:
                    return await self._write_part(fold, part, session)

                changed += await run_transaction(self._client, write)
                written.update(part)
                progress.done += len(part)
        return changed

    async def _write_part(self, fold: "_Fold", ids: Sequence[str], session: Session) -> int:
        await self._catch_up(fold, session)
        newest = await self._journal.newest(ids, session=session)
        found = self._accounts.find({"_id": {"$in": list(ids)}}, session=session)
        present: dict[str, Document] = {document["_id"]: document async for document in found}
        changed = 0
        for id_ in ids:
            balance, sequence = newest[id_]
            right = account_document(Account(id_, fold.terms(id_), balance, sequence))
            changed += not _same_terms(present.get(id_), right)
            await self._accounts.replace_one({"_id": id_}, right, upsert=True, session=session)
        return changed

    async def _remove_unknown(self, fold: "_Fold", progress: Progress) -> int:
        progress.enter("unknown", total=await self._accounts.estimated_document_count())
        removed = 0
        ids: list[str] = []
        async for document in self._accounts.find({}, {"_id": 1}):
            progress.done += 1
            if document["_id"] not in fold.changes:
                ids.append(document["_id"])
        for start in range(0, len(ids), _ACCOUNTS_AT_ONCE):
            part = ids[start : start + _ACCOUNTS_AT_ONCE]

            async def remove(session: Session, part: Sequence[str] = part) -> int:
                await self._catch_up(fold, session)
                unknown = [id_ for id_ in part if id_ not in fold.changes]
                gone = await self._accounts.delete_many({"_id": {"$in": unknown}}, session=session)
                return gone.deleted_count

            removed += await run_transaction(self._client, remove)
        return removed

    async def _catch_up(self, fold: "_Fold", session: Session) -> None:
        """Take in what was sealed since, as the transaction sees it."""
        while sealed := await self._journal.seals_after(fold.sealed, limit=_SEALS_AT_ONCE, session=session):
            ids = [id_ for _, of_group in sealed for id_ in of_group]
            records = await self._journal.by_id(ids, session=session)
            for record in records.values():
                fold.add(record.entries)
            fold.sealed = sealed[-1][0].number


class _Fold:
    """Each account's changes by their numbers, up to a seal or somewhat beyond."""

    def __init__(self, sealed: int) -> None:
        self.sealed = sealed
        """The number of the last seal of which all is in it."""
        self.changes: defaultdict[str, dict[int, Mapping[str, Any]]] = defaultdict(dict)

    def add(self, entries: Iterable[Entry]) -> None:
        """Take in a record's entries, in any order; the same ones may come again."""
        for entry in entries:
            if entry.change is not None:
                self.changes[entry.account_id][entry.sequence] = entry.change

    def terms(self, account_id: str) -> Terms:
        """Return the account's terms.

        Raises:
            ConflictError: the journal changes an account that it never opened.
        """
        changes = self.changes[account_id]
        if 0 not in changes:
            raise ConflictError(
                "books_do_not_hold",
                f"The journal changes account {account_id}, which it never opened; see the ledger's proof.",
            )
        terms = _NOTHING
        for sequence in sorted(changes):
            terms = terms.changed(changes[sequence])
        return terms


def _same_terms(present: Document | None, right: Document) -> bool:
    """Tell whether an account was as it should be; its balance may lag."""
    if present is None or present.keys() != right.keys():
        return False
    return all(present[name] == right[name] for name in right.keys() - {"balance", "sequence"})


def _entry(rebuilt: Rebuilt, *, by: Actor, reason: str, clock: Clock) -> AuditEntry:
    return AuditEntry(
        at=clock(),
        actor=by,
        action="rebuild_accounts",
        target_kind="ledger",
        target_id="accounts",
        reason=reason,
        before=None,
        after={"accounts": rebuilt.accounts, "changed": rebuilt.changed, "removed": rebuilt.removed},
    )
