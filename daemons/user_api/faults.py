"""The driver's faults as errors of the bank."""

from collections.abc import Iterator
from contextlib import contextmanager

from pymongo.errors import PyMongoError

from daemons.shared.mongo import unavailable


@contextmanager
def unavailable_on_fault() -> Iterator[None]:
    """Turn any fault of the driver into `unavailable`; for reads and writes that may be repeated.

    Raises:
        TransientError: the database did not do its work.
    """
    try:
        yield
    except PyMongoError as error:
        raise unavailable(error) from error
