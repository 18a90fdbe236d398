"""The people of the end-to-end tests; the bank itself comes from tests/support/stack.py."""

import pytest_asyncio

from tests.support.person import Person
from tests.support.stack import LocalStack, stack

__all__ = ["stack"]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def operator(stack: LocalStack) -> Person:
    """An operator, who funds and freezes."""
    return await stack.appoint("Olga", "operator")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def support(stack: LocalStack) -> Person:
    """Somebody of the support staff, who sees everything and changes nothing."""
    return await stack.appoint("Sam", "support")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def ann(stack: LocalStack) -> Person:
    """A user."""
    return await stack.register("Ann")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def bob(stack: LocalStack) -> Person:
    """Another user."""
    return await stack.register("Bob")
