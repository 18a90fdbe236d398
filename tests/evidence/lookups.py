"""`python -m tests.evidence.lookups`: what the cache of users saves, on a real user_api, MongoDB and Valkey.

Mails go to a few people often and to many seldom: users are drawn by Zipf's law, as the notifier would look
them up, one by one. Figures go to docs/performance.md.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID

import httpx

from daemons.notifier.directory import CachedDirectory, UserApiDirectory, UserDirectory
from daemons.shared.user_cache import UserCache
from tests.support.mongo import running_mongod
from tests.support.user_api import running_user_api
from tests.support.valkey_server import ValkeyServer


async def measure(users: int, lookups: int, seed: int) -> None:
    """Print the cost of a look-up without and with the cache, and how many it answers."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        mongo = stack.enter_context(running_mongod(folder))
        valkey = ValkeyServer(folder)
        valkey.start()
        stack.callback(valkey.kill)
        await valkey.until_it_serves()
        api = await stack.enter_async_context(running_user_api(mongo, "lookups"))
        ids = [UUID((await api.register())["id"]) for _ in range(users)]
        drawn = random.Random(seed).choices(ids, [1 / place for place in range(1, users + 1)], k=lookups)  # noqa: S311 - nothing secret
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=api.http.base_url))
        direct = UserApiDirectory(http, api.service_tokens)
        cache = UserCache(valkey.uri)
        stack.push_async_callback(cache.close)
        without = await _seconds(direct, drawn)
        hits = len(drawn) - len(set(drawn))
        with_cache = await _seconds(CachedDirectory(direct, cache), drawn)
        again = await _seconds(CachedDirectory(direct, cache), drawn)
    for name, seconds in (("user_api each time", without), ("cold cache", with_cache), ("warm cache", again)):
        print(f"{name:20} {seconds / lookups * 1000:7.2f} ms a look-up")  # noqa: T201 - a report
    print(f"hit rate of the cold cache: {hits / lookups:.1%} of {lookups:,} look-ups of {users:,} users")  # noqa: T201


async def _seconds(directory: UserDirectory, drawn: Sequence[UUID]) -> float:
    began = time.perf_counter()
    for user_id in drawn:
        await directory.find(user_id)
    return time.perf_counter() - began


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--lookups", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    asyncio.run(measure(options.users, options.lookups, options.seed))


if __name__ == "__main__":
    main()
