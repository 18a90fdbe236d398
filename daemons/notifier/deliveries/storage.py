"""Deliveries in MongoDB, each under its turn in the one order of all."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from pymongo import ASCENDING, DESCENDING
from pymongo.errors import PyMongoError

from daemons.contracts.names import DeliveryState
from daemons.notifier.deliveries.delivery import SETTLED, Backlog, Cause, Delivery, Outcome, Owed
from daemons.notifier.reading import reading
from daemons.notifier.schema import DELIVERY_TURNS
from daemons.shared.ids import new_id
from daemons.shared.mongo import Database, Document, Session, insert_all, unavailable

Lane = tuple[str, str, bool]
"""A channel, a recipient, and whether it is urgent: what goes out in order."""
_LONGEST_FAULT = 500
_UNSETTLED: Document = {"due_at": {"$type": "date"}}


class MongoDeliveries:
    """All deliveries. Unsettled ones have the time at which they are tried next."""

    def __init__(self, database: Database, session: Session | None = None) -> None:
        self._deliveries = database["deliveries"]
        self._turns = database["turns"]
        self._session = session

    async def insert(self, owed: Sequence[Owed], *, at: datetime) -> list[Delivery]:
        """Add what is owed, in the transaction that records why.

        Turns are taken from one document, so they are committed in their order, whatever process takes them.

        Raises:
            DuplicateKeyError: some of it is known.
        """
        assert self._session is not None  # noqa: S101 - deliveries are never written alone
        before = await self._take_turns(len(owed))
        made = [
            Delivery(new_id(), before + index, one, DeliveryState.OWED, 0, at, at, at)
            for index, one in enumerate(owed, start=1)
        ]
        await insert_all(self._deliveries, [_to_document(one) for one in made], session=self._session)
        return made

    async def _take_turns(self, count: int) -> int:
        taken = await self._turns.find_one_and_update(
            {"_id": DELIVERY_TURNS}, {"$inc": {"last": count}}, upsert=True, session=self._session
        )
        return 0 if taken is None else int(taken["last"])

    async def lanes_after(self, turn: int, *, limit: int) -> list[tuple[int, Lane]]:
        """Return the turn and lane of unsettled deliveries behind a turn, in order.

        Raises:
            TransientError: the database does not answer; so do all reads here.
        """
        query = {"turn": {"$gt": turn}, **_UNSETTLED}
        with reading():
            found = self._deliveries.find(query, {"turn": 1, "channel": 1, "recipient": 1, "is_urgent": 1})
            found = found.sort("turn", ASCENDING).limit(limit)
            return [
                (one["turn"], (one["channel"], one["recipient"], one["is_urgent"])) async for one in found
            ]

    async def head_of(self, lane: Lane) -> Delivery | None:
        """Return the first unsettled delivery of a lane."""
        channel, recipient, is_urgent = lane
        query = {"channel": channel, "recipient": recipient, "is_urgent": is_urgent, **_UNSETTLED}
        with reading():
            found = await self._deliveries.find_one(query, sort=[("turn", ASCENDING)])
        return None if found is None else _delivery_of(found)

    async def keep(self, delivery: Delivery, outcome: Outcome) -> None:
        """Write down how an attempt came out; once sent stays sent, and doing it again changes nothing.

        Raises:
            TransientError: it may not have been written; try again.
        """
        change: Document = {
            "state": outcome.state.value,
            "fault": outcome.fault and outcome.fault[:_LONGEST_FAULT],
        }
        if outcome.is_attempt:
            change["attempts"] = delivery.attempts + 1
        update: Document = {"$set": change}
        if outcome.state in SETTLED:
            change["settled_at"] = outcome.at
            update["$unset"] = {"due_at": "", "order": ""}
        else:
            change["due_at"] = outcome.due_at
        query: Document = {"_id": delivery.id, "state": {"$ne": DeliveryState.SENT.value}}
        if outcome.state is not DeliveryState.SENT:
            # Another process may have taken over meanwhile, and know better.
            query |= {"attempts": delivery.attempts, **_UNSETTLED}
        try:
            await self._deliveries.update_one(query, update)
        except PyMongoError as error:
            raise unavailable(error) from error

    async def find(self, delivery_id: UUID) -> Delivery | None:
        """Return a delivery."""
        with reading():
            found = await self._deliveries.find_one({"_id": delivery_id}, session=self._session)
        return None if found is None else _delivery_of(found)

    async def of_cause(self, cause: Cause) -> list[Delivery]:
        """Return what was owed for an event or a message."""
        with reading():
            found = self._deliveries.find(_cause(cause), session=self._session).sort("turn", ASCENDING)
            return [_delivery_of(one) async for one in found]

    async def page(
        self,
        *,
        state: DeliveryState | None,
        channel: str | None,
        recipient: str | None,
        before: int | None,
        limit: int,
    ) -> list[Delivery]:
        """Return deliveries, newest first."""
        asked = {"state": None if state is None else state.value, "channel": channel, "recipient": recipient}
        query: Document = {name: value for name, value in asked.items() if value is not None}
        if before is not None:
            query["turn"] = {"$lt": before}
        with reading():
            found = self._deliveries.find(query).sort("turn", DESCENDING).limit(limit)
            return [_delivery_of(one) async for one in found]

    async def reopen(self, delivery: Delivery, *, at: datetime) -> bool:
        """Owe again what was given up, at the end of its lane; tells whether it was given up."""
        turn = await self._take_turns(1) + 1
        changed = await self._deliveries.update_one(
            {"_id": delivery.id, "state": DeliveryState.GIVEN_UP.value},
            {
                "$set": {
                    "state": DeliveryState.OWED.value,
                    "turn": turn,
                    "due_at": at,
                    "tried_since": at,
                    "settled_at": None,
                }
            },
            session=self._session,
        )
        return changed.modified_count == 1

    async def counts(self) -> dict[tuple[str, str], int]:
        """Return how many deliveries each channel has in each state."""
        group: Document = {"_id": {"channel": "$channel", "state": "$state"}, "count": {"$sum": 1}}
        with reading():
            found = await self._deliveries.aggregate([{"$group": group}])
            return {(one["_id"]["channel"], one["_id"]["state"]): one["count"] async for one in found}

    async def backlogs(self, *, limit: int) -> list[Backlog]:
        """Return what each channel has still to send, of the first `limit` unsettled deliveries of all."""
        is_failing = {"$cond": [{"$eq": ["$state", DeliveryState.FAILED.value]}, 1, 0]}
        steps: list[Document] = [
            {"$match": _UNSETTLED},
            {"$sort": {"turn": ASCENDING}},
            {"$limit": limit},
            {
                "$group": {
                    "_id": "$channel",
                    "unsettled": {"$sum": 1},
                    "failing": {"$sum": is_failing},
                    "oldest_at": {"$min": "$tried_since"},
                }
            },
            {"$sort": {"_id": ASCENDING}},
        ]
        with reading():
            found = await self._deliveries.aggregate(steps, hint="unsettled")
            return [
                Backlog(one["_id"], one["unsettled"], one["failing"], one["oldest_at"]) async for one in found
            ]

    async def astray(self) -> int:
        """Count the deliveries that are neither settled nor tried again: there should be none."""
        settled = [state.value for state in SETTLED]
        query: Document = {
            "$or": [
                {"state": {"$nin": settled}, "due_at": {"$not": {"$type": "date"}}},
                {"state": {"$in": settled}, "settled_at": {"$not": {"$type": "date"}}},
            ]
        }
        with reading():
            return await self._deliveries.count_documents(query)


def _cause(cause: Cause) -> Document:
    return {"cause_kind": cause.kind, "cause_id": cause.id}


def _to_document(delivery: Delivery) -> Document:
    owed = delivery.owed
    return {
        "_id": delivery.id,
        "turn": delivery.turn,
        **_cause(owed.cause),
        "channel": owed.channel,
        "recipient": owed.recipient,
        "is_urgent": owed.is_urgent,
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "created_at": delivery.created_at,
        "tried_since": delivery.tried_since,
        "due_at": delivery.due_at,
        **({} if owed.order is None else {"order": dict(owed.order)}),
    }


def _delivery_of(document: Document) -> Delivery:
    return Delivery(
        id=document["_id"],
        turn=document["turn"],
        owed=Owed(
            Cause(document["cause_kind"], document["cause_id"]),
            document["channel"],
            document["recipient"],
            is_urgent=document["is_urgent"],
            order=document.get("order"),
        ),
        state=DeliveryState(document["state"]),
        attempts=document["attempts"],
        created_at=document["created_at"],
        tried_since=document["tried_since"],
        due_at=document.get("due_at"),
        settled_at=document.get("settled_at"),
        fault=document.get("fault"),
    )
