"""Reads of the notifier's collections: bounded in time, with the bank's error for a database that is away."""

from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pymongo
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import PyMongoError

from daemons.contracts.names import EventType
from daemons.shared.mongo import unavailable

_READ_TIMEOUT_SECONDS = 5
_IDS_AT_ONCE = 1_000


@contextmanager
def reading() -> Iterator[None]:
    """Bound a read in time, and say of a database that does not answer that it may be tried again."""
    try:
        with pymongo.timeout(_READ_TIMEOUT_SECONDS):
            yield
    except PyMongoError as error:
        raise unavailable(error) from error


async def stream_ids(
    collection: AsyncCollection[dict[str, Any]], type_field: str, types: Collection[EventType], id_field: str
) -> AsyncIterator[UUID]:
    """Stream the ids of all documents of these types, in bounded memory."""
    query = {type_field: {"$in": [event_type.value for event_type in types]}}
    try:
        found = collection.find(query, {"_id": 0, id_field: 1}).batch_size(_IDS_AT_ONCE)
        async for document in found:
            yield document[id_field]
    except PyMongoError as error:
        raise unavailable(error) from error
