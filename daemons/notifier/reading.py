"""Reads of the notifier's collections: bounded in time, with the bank's error for a database that is away."""

from collections.abc import Iterator
from contextlib import contextmanager

import pymongo
from pymongo.errors import PyMongoError

from daemons.shared.mongo import unavailable

_READ_TIMEOUT_SECONDS = 5


@contextmanager
def reading() -> Iterator[None]:
    """Bound a read in time, and say of a database that does not answer that it may be tried again."""
    try:
        with pymongo.timeout(_READ_TIMEOUT_SECONDS):
            yield
    except PyMongoError as error:
        raise unavailable(error) from error
