"""Bugs that the suite must catch, each the way systems of this kind really have it.

They are planted from here into a real daemon's process (tests.faults.planting); the product has no switch
for them. `python -m tests.soak.planted` runs each against the
test that has to catch it.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from confluent_kafka import TopicPartition
from daemons.banking_api.domain import decision, journal
from daemons.banking_api.services.succession import Batch
from daemons.banking_api.storage import known_accounts, mongo_accounts, working_set
from daemons.banking_api.storage.commit_order import Place
from daemons.banking_api.storage.known_accounts import KnownAccounts
from daemons.banking_api.storage.mongo_ledger import MongoLedger
from pymongo import WriteConcern
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection

from daemons.banking_api.ledger.schema import HISTORY_INDEX
from daemons.notifier.event_log.storage import MongoEventLog
from daemons.shared import mongo
from daemons.shared.kafka import consumer
from daemons.shared.outbox import store
from daemons.shared.outbox.store import OutboxStore


def _no_unique_index() -> None:
    _not_unique("")


def _not_unique(name: str) -> None:
    """Make one index plain, or with no name every one."""
    create = AsyncCollection.create_indexes

    async def plain(self: Any, indexes: Any, *more: Any, **named: Any) -> Any:
        for index in indexes:
            if name in {"", index.document["name"]}:
                index.document.pop("unique", None)
        return await create(self, indexes, *more, **named)

    AsyncCollection.create_indexes = plain  # type: ignore[method-assign]


def _outbox_outside_the_transaction() -> None:
    async def outside(collection: Any, documents: Any, **_session: Any) -> None:
        await collection.insert_many(documents)

    store.insert_all = outside


def _done_when_handed_out(take_for_done: Callable[[Any, list[TopicPartition]], None]) -> None:
    """Let consumers take what they hand out for done, with the topics' ids beside the offsets as they are."""

    class Hasty(consumer.Consumer):  # type: ignore[misc]
        def __init__(self, *more: Any, **named: Any) -> None:
            super().__init__(*more, **named)
            self._topic_ids: dict[tuple[str, int], str | None] = {}

        def commit(self, *more: Any, offsets: Any = (), **named: Any) -> Any:
            self._topic_ids |= {(it.topic, it.partition): it.metadata for it in offsets}
            return super().commit(*more, offsets=list(offsets), **named)

        def committed(self, *more: Any, **named: Any) -> Any:
            found = super().committed(*more, **named)
            self._topic_ids |= {(it.topic, it.partition): it.metadata for it in found}
            return found

        def consume(self, *more: Any, **named: Any) -> Any:
            messages = super().consume(*more, **named)
            places = [(it.topic(), it.partition(), it.offset() + 1) for it in messages if it.error() is None]
            if places:
                take_for_done(
                    super(), [TopicPartition(*place, self._topic_ids.get(place[:2])) for place in places]
                )
            return messages

        def store_offsets(self, *_more: Any, **_named: Any) -> None:
            """Done already."""

    consumer.Consumer = Hasty  # type: ignore[misc]


def _auto_commit() -> None:
    _done_when_handed_out(lambda library, places: library.store_offsets(offsets=places))


def _commit_before_the_effect() -> None:
    _done_when_handed_out(lambda library, places: library.commit(offsets=places, asynchronous=False))


def _acknowledged_by_one() -> None:
    mongo._DURABLE = WriteConcern(w=1)


def _no_check_of_ownership() -> None:
    find_failure = decision.find_failure

    def trusting(command: Any, sender: Any, receiver: Any) -> Any:
        if sender is not None:
            command = dataclasses.replace(command, sender_owner=sender.owner)
        return find_failure(command, sender, receiver)

    decision.find_failure = trusting


def _frozen_accounts_pay() -> None:
    decision._not_active = lambda _account: None


def _numbers_are_given_twice() -> None:
    _not_unique(HISTORY_INDEX)


def _refusals_on_stale_knowledge() -> None:
    async def trusting(*_: Any) -> None:
        """Whatever is known will do."""

    KnownAccounts.confirm = trusting  # type: ignore[method-assign]


def _changes_take_no_number() -> None:
    """The account's document alone is changed, as it was before changes were numbered."""
    mongo_accounts.replace = lambda account, **_: account  # type: ignore[attr-defined]
    insert_one = AsyncCollection.insert_one

    async def all_but_changes(self: Any, document: Any, *more: Any, **named: Any) -> Any:
        if self.name != "journal":
            return await insert_one(self, document, *more, **named)
        return None

    AsyncCollection.insert_one = all_but_changes  # type: ignore[method-assign]


def _kept_before_the_commit() -> None:
    write = MongoLedger._write

    async def hasty(self: Any, decided: Any, *more: Any) -> None:
        self._accounts._working_set.keep(decided.changed.values())
        await write(self, decided, *more)

    MongoLedger._write = hasty  # type: ignore[method-assign]


def _decided_on_what_is_kept() -> None:
    decision.LedgerAccount.copy = lambda self: self  # type: ignore[method-assign]


def _committed_before_those_before() -> None:
    async def hasty(_self: Any) -> None:
        """Whatever it rests on will be committed, will it not?"""

    Place.until_those_before_are_committed = hasty  # type: ignore[method-assign]


def _batches_follow_whatever_was_before() -> None:
    Batch.must_not_begin = property(lambda _self: False)  # type: ignore[method-assign,assignment]


def _notes_tell_no_status() -> None:
    bring_up_to_date = working_set.bring_up_to_date

    def careless(account: Any, noted: Any) -> None:
        bring_up_to_date(account, dataclasses.replace(noted, status=account.status))

    working_set.bring_up_to_date = known_accounts.bring_up_to_date = careless


def _changed_requests_are_replayed() -> None:
    same_for_all = property(lambda _self: bytes(16), lambda _self, _fingerprint: None)
    journal.PostingCommand.fingerprint = same_for_all  # type: ignore[assignment]


def _removed_before_published() -> None:
    oldest = OutboxStore.oldest

    async def taken(self: Any, **named: Any) -> Any:
        entries = await oldest(self, **named)
        await self.remove(entries)
        return entries

    OutboxStore.oldest = taken  # type: ignore[method-assign]


def _every_delivery_has_an_effect() -> None:
    async def nothing_known(*_: Any) -> set[Any]:
        return set()

    MongoEventLog._known = nothing_known  # type: ignore[method-assign]
    _no_unique_index()


def _answered_before_the_commit() -> None:
    """Every seventh transaction is told to be committed, and is not."""
    commit, counted = AsyncClientSession.commit_transaction, {"n": 0}

    async def sometimes(self: Any) -> None:
        counted["n"] += 1
        if counted["n"] % 7:
            await commit(self)
        else:
            await self.abort_transaction()

    AsyncClientSession.commit_transaction = sometimes  # type: ignore[method-assign]


BUGS: dict[str, Callable[[], None]] = {
    "no unique index": _no_unique_index,
    "outbox outside the transaction": _outbox_outside_the_transaction,
    "auto-commit consumer": _auto_commit,
    "commit before effect": _commit_before_the_effect,
    "w:1": _acknowledged_by_one,
    "ownership check dropped": _no_check_of_ownership,
    "frozen check dropped": _frozen_accounts_pay,
    "history index not unique": _numbers_are_given_twice,
    "refusals told on stale knowledge": _refusals_on_stale_knowledge,
    "freeze takes no number": _changes_take_no_number,
    "kept before the commit": _kept_before_the_commit,
    "decided on what is kept": _decided_on_what_is_kept,
    "committed before those before": _committed_before_those_before,
    "batches follow whatever was before": _batches_follow_whatever_was_before,
    "notes tell no status": _notes_tell_no_status,
    "replay ignores the fingerprint": _changed_requests_are_replayed,
    "removed before published": _removed_before_published,
    "no deduplication": _every_delivery_has_an_effect,
    "told before committed": _answered_before_the_commit,
}
