"""Documents that change only together with a record: the record has their digests, before and after.

So a change by hand contradicts the last record about it, and what a daemon writes on top of such a
change does not hide it: the digest before is that of what was there (docs/adr/0032).
"""

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import bson
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions

from daemons.shared.mongo import Database, Document, Session

Change = tuple[str | None, str | None]
"""A document's digest before and after; None where there is no such document."""
Changes = dict[str, Change]
_OPTIONS: CodecOptions[Document] = CodecOptions(
    uuid_representation=UuidRepresentation.STANDARD, tz_aware=True
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A kind of such documents.

    A digest of a secret's hash or of a sealed secret tells nothing of it: both are salted, or random.
    """

    kind: str
    """What records and findings call one."""
    collection: str
    fields: Sequence[str]
    """Those that change with a record only; all others may change without."""
    counted: Mapping[str, Any] = field(default_factory=dict)
    """Which documents of the collection count; the others are as if they were not there."""
    may_go: bool = False
    """Whether one may be removed without a record, as by a sweep of what has expired."""

    def name(self, document: Document) -> str:
        """Return what records call it."""
        return f"{self.kind} {document['_id']}"

    def digest(self, document: Document) -> str:
        """Return the digest of what is guarded in it."""
        guarded = {name: document.get(name) for name in self.fields}
        return hashlib.sha256(bson.encode(guarded, codec_options=_OPTIONS)).hexdigest()

    @asynccontextmanager
    async def changing(self, database: Database, session: Session, query: Document) -> AsyncIterator[None]:
        """Note what the body changes, in the session's transaction, of the documents that match the query.

        Reading and then writing them makes a change at the same moment conflict, so that what was there
        before is certain.
        """
        before = await self._digests(database, session, query)
        yield
        after = await self._digests(database, session, query)
        noted = _noted(session)
        for name in before.keys() | after.keys():
            first, _ = noted.get(name, (before.get(name), None))
            noted[name] = first, after.get(name)

    async def _digests(self, database: Database, session: Session, query: Document) -> dict[str, str]:
        found = database[self.collection].find({**query, **self.counted}, session=session)
        return {self.name(document): self.digest(document) async for document in found}


_changes: WeakKeyDictionary[Session, Changes] = WeakKeyDictionary()


def _noted(session: Session) -> Changes:
    return _changes.setdefault(session, {})


def forget_changes(session: Session) -> None:
    """Begin an attempt at a transaction: what an earlier one would have changed counts no longer."""
    _changes.pop(session, None)


def changes_in(session: Session) -> Changes:
    """Return what was changed in the session's transaction so far, by the documents' names."""
    return {name: change for name, change in _noted(session).items() if change[0] != change[1]}
