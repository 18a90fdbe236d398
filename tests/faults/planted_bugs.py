"""Bugs that the suite must catch, each the way systems of this kind really have it.

They are planted from here into a real daemon's process (tests.faults.planting); the product has no switch
for them. `python -m tests.soak.planted` runs each against the
test that has to catch it.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from confluent_kafka import TopicPartition
from pymongo import WriteConcern
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection

from daemons.banking_api.kinds import funding, transfer
from daemons.banking_api.kinds.opening import Opening
from daemons.banking_api.kinds.transfer import Transfer
from daemons.banking_api.ledger import decide, front, node, pipeline
from daemons.banking_api.ledger.account import Account, is_tally
from daemons.banking_api.ledger.account_cache import AccountCache
from daemons.banking_api.ledger.batches import Batch
from daemons.banking_api.ledger.journal import Journal, SealedGroup
from daemons.banking_api.ledger.lease import Lease
from daemons.banking_api.ledger.node import LedgerNode
from daemons.banking_api.ledger.order import Place
from daemons.banking_api.ledger.pipeline import Pipeline
from daemons.banking_api.ledger.record import Command
from daemons.banking_api.ledger.relay import Feed, Relay
from daemons.banking_api.ledger.schema import HISTORY_INDEX
from daemons.notifier.event_log.storage import MongoEventLog
from daemons.shared import mongo
from daemons.shared.ids import new_id
from daemons.shared.kafka import consumer


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


def _seals_outside_the_transaction() -> None:
    append = Journal.append

    async def apart(self: Any, group: SealedGroup, *, session: Any) -> None:
        *records, seal = group.documents
        group.documents = records
        await append(self, group, session=session)
        await self._journal.insert_one(seal)

    Journal.append = apart  # type: ignore[method-assign]


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
    rule = Transfer.decide

    def trusting(self: Any, accounts: Any) -> Any:
        sender = accounts.get(self.from_account)
        return rule(dataclasses.replace(self, initiator=sender.terms.owner) if sender else self, accounts)

    Transfer.decide = trusting  # type: ignore[method-assign]


def _frozen_accounts_pay() -> None:
    transfer.not_active = funding.not_active = lambda _account: None  # type: ignore[attr-defined]


def _numbers_are_given_twice() -> None:
    _not_unique(HISTORY_INDEX)


def _seals_take_any_number() -> None:
    """A group is sealed behind whatever is the newest, and not behind that on which it was decided."""
    append = Journal.append

    async def careless(self: Any, group: SealedGroup, *, session: Any) -> None:
        head = await self.head(session=session)
        behind = SealedGroup(group.records, head, at=group.seal.at)
        group.seal, group.head, group.documents = behind.seal, behind.head, behind.documents
        await append(self, group, session=session)

    Journal.append = careless  # type: ignore[method-assign]


def _refusals_on_stale_knowledge() -> None:
    """One that is not kept has no number to guard it, and nobody looks whether there is a newer seal."""

    async def never(*_: Any, **__: Any) -> bool:
        return False

    Journal.has_seal = never  # type: ignore[method-assign]


def _refusals_on_accounts_that_lag() -> None:
    decide._inexact = lambda _command, _accounts: []


def _refusals_without_a_look_for_the_key() -> None:
    """Keys are looked for only where an index has refused one, and nothing of a refusal is inserted."""
    by_key, learn = Journal.by_key, Pipeline._learn
    refused = {"a key": False}

    def learned(self: Any, attempts: Any, error: Any) -> None:
        learn(self, attempts, error)
        refused["a key"] = attempts.look_for_keys

    async def not_by_itself(self: Any, ids: Any, *, session: Any = None) -> Any:
        return await by_key(self, ids, session=session) if refused["a key"] or session is None else {}

    Pipeline._learn = learned  # type: ignore[method-assign]
    Journal.by_key = not_by_itself  # type: ignore[method-assign]


def _changes_take_no_number() -> None:
    """The account's terms alone are changed, as it was before changes were numbered."""
    enter = decide._enter

    def careless(decision: Any, accounts: Any, moves: Any) -> Any:
        entries = enter(decision, accounts, moves)
        if any(entry.change is not None and entry.sequence for entry in entries):
            for move in moves:
                move.account.sequence -= 1
            return ()
        return entries

    decide._enter = careless


def _terms_are_written_later() -> None:
    """As balances are, so that a ledger that reads an account from the cache knows it as it once was."""
    write = AccountCache.write_terms

    async def only_new(self: Any, accounts: Any, **named: Any) -> None:
        await write(self, [account for account in accounts if account.sequence == 0], **named)

    AccountCache.write_terms = only_new  # type: ignore[method-assign]


def _tallies_are_not_counted() -> None:
    rule = Opening.decide

    def uncounted(self: Any, accounts: Any) -> Any:
        ruling = rule(self, accounts)
        if isinstance(ruling, list):
            return [move for move in ruling if not is_tally(move.account.id)]
        return ruling

    Opening.decide = uncounted  # type: ignore[method-assign]


def _kept_before_the_commit() -> None:
    attempt = Pipeline._attempt

    async def hasty(self: Any, *more: Any) -> Any:
        written = await attempt(self, *more)
        self._accounts.keep(written.decision.changed.values())
        return written

    Pipeline._attempt = hasty  # type: ignore[method-assign]


def _decided_on_what_is_kept() -> None:
    Account.copy = lambda self: self  # type: ignore[method-assign]


def _atomic_batches_row_by_row() -> None:
    pipeline.decide_atomic_group = decide.decide_group  # type: ignore[attr-defined]


def _committed_before_those_before() -> None:
    async def hasty(_self: Any) -> None:
        """Whatever it rests on will be committed, will it not?"""

    Place.until_those_before_are_committed = hasty  # type: ignore[method-assign]


def _batches_follow_whatever_was_before() -> None:
    Batch.must_not_begin = property(lambda _self: False)  # type: ignore[method-assign,assignment]


def _changed_requests_are_replayed() -> None:
    same_for_all = property(lambda _self: bytes(16), lambda _self, _fingerprint: None)
    Command.fingerprint = same_for_all  # type: ignore[assignment]


def _sent_again_as_another_command() -> None:
    """What was done already is then taken for a replay of somebody's earlier request."""
    enqueue = front.FrontStream.enqueue

    def renamed(self: Any, commands: Any, **named: Any) -> Any:
        return enqueue(self, [dataclasses.replace(command, id=new_id()) for command in commands], **named)

    front.FrontStream.enqueue = renamed  # type: ignore[method-assign]


def _second_sending_tells_of_both() -> None:
    """That nothing was done at the second sending is told, whatever became of the first."""
    node.settles = lambda _error: True  # type: ignore[attr-defined]


def _lost_leases_are_not_noticed() -> None:
    find_role = LedgerNode._find_role

    async def stubborn(self: Any) -> None:
        if self._local is None:
            await find_role(self)

    LedgerNode._find_role = stubborn  # type: ignore[method-assign]


def _leases_of_others_are_released() -> None:
    async def release(self: Any) -> None:
        await self._leases.delete_one({"_id": "ledger"})

    Lease.release = release  # type: ignore[method-assign]


def _position_before_the_confirmation() -> None:
    publish_next = Relay._publish_next

    async def hasty(self: Any, topic: Any) -> Any:
        before, groups = topic.position, await self._feed.after(topic.position)
        if groups and self._agreement.may_publish:
            topic.position = groups[-1].number
            await self._keep()
            topic.position = before
        return await publish_next(self, topic)

    Relay._publish_next = hasty  # type: ignore[method-assign]


def _gaps_are_passed_over() -> None:
    """What is at hand is taken for all there is, although somebody else has committed in between."""

    def add(self: Any, seal: Any, records: Any) -> None:
        self._at_hand.append(self._group(seal.number, records))

    Feed.add = add  # type: ignore[method-assign]


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
    "seals outside the transaction": _seals_outside_the_transaction,
    "auto-commit consumer": _auto_commit,
    "commit before effect": _commit_before_the_effect,
    "w:1": _acknowledged_by_one,
    "ownership check dropped": _no_check_of_ownership,
    "frozen check dropped": _frozen_accounts_pay,
    "history index not unique": _numbers_are_given_twice,
    "seals take any number": _seals_take_any_number,
    "refusals told on stale knowledge": _refusals_on_stale_knowledge,
    "refusals told on accounts that lag": _refusals_on_accounts_that_lag,
    "refusals told without a look for the key": _refusals_without_a_look_for_the_key,
    "freeze takes no number": _changes_take_no_number,
    "terms written later": _terms_are_written_later,
    "tally not counted": _tallies_are_not_counted,
    "kept before the commit": _kept_before_the_commit,
    "decided on what is kept": _decided_on_what_is_kept,
    "committed before those before": _committed_before_those_before,
    "batches follow whatever was before": _batches_follow_whatever_was_before,
    "atomic batches row by row": _atomic_batches_row_by_row,
    "replay ignores the fingerprint": _changed_requests_are_replayed,
    "sent again as another command": _sent_again_as_another_command,
    "second sending tells of both": _second_sending_tells_of_both,
    "lost lease not noticed": _lost_leases_are_not_noticed,
    "lease of another released": _leases_of_others_are_released,
    "position before the confirmation": _position_before_the_confirmation,
    "gaps passed over": _gaps_are_passed_over,
    "no deduplication": _every_delivery_has_an_effect,
    "told before committed": _answered_before_the_commit,
}
