"""A cache of users' names and addresses in Valkey, which several processes share.

It changes no result but its cost. What it holds is at most `FRESH_SECONDS` old, as what a process remembers
by itself is; a change that is told as an event makes it go at once. When Valkey is away or slow, users are
asked for as if there were no cache.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

import structlog
from prometheus_client import Counter
from pydantic import ValidationError

from daemons.contracts.internal import UserSummary
from daemons.contracts.wire import WireModel

if TYPE_CHECKING:
    from valkey.asyncio import Valkey

FRESH_SECONDS = 60.0
_ANSWER_SECONDS = 0.25
"""How long the cache may take; asking user_api takes a few milliseconds."""
_PAUSE_SECONDS = 1.0
"""How long a cache that does not answer is left alone."""
_PREFIX = "bankctl:user:"
# Of two states the newer one stays; what is forgotten leaves its version, so that no older state comes back.
_KEEP_NEWER = """
local known = redis.call('GET', KEYS[1])
if known then
  local is_read, kept = pcall(cjson.decode, known)
  if is_read and type(kept.version) == 'number' and kept.version > tonumber(ARGV[2]) then return 0 end
  if is_read and kept.version == tonumber(ARGV[2]) and ARGV[4] == 'forget' then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return 1
"""

ResultT = TypeVar("ResultT")
_lookups = Counter("bankctl_user_lookups", "Users looked up in the cache, by what came of it", ["outcome"])
_faults = Counter("bankctl_user_cache_faults", "Times that the cache did not answer")
_log = structlog.get_logger()


class KnownUser(WireModel):
    """A user as user_api had them `read_at`, in seconds since 1970."""

    user: UserSummary
    version: int
    read_at: float


class _Forgotten(WireModel):
    """In the place of a user who has changed: only this version or a newer one may be kept."""

    version: int


class UserCache:
    """Users by their ids. None of its methods fails, and each ends soon."""

    def __init__(
        self,
        uri: str,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._uri = uri
        self._now = now
        self._monotonic = monotonic
        self._valkey: Valkey | None = None
        self._left_alone_until = 0.0

    async def find(self, user_ids: Collection[UUID]) -> dict[UUID, KnownUser]:
        """Return those of the users that are known, no older than `FRESH_SECONDS`."""
        ids = list(user_ids)
        if not ids:
            return {}
        texts = await self._ask(lambda valkey: valkey.mget([_key(str(user_id)) for user_id in ids]))
        found: dict[UUID, KnownUser] = {}
        for user_id, text in zip(ids, texts or [], strict=False):
            known = _read(text)
            if known is not None and 0 <= self._now() - known.read_at < FRESH_SECONDS:
                found[user_id] = known
        _lookups.labels("hit").inc(len(found))
        _lookups.labels("miss").inc(len(ids) - len(found))
        return found

    async def keep(self, users: Sequence[UserSummary], *, read_at: float) -> None:
        """Keep users as user_api has answered them, unless something newer is known.

        Args:
            users: What it has answered.
            read_at: When it was asked, in seconds since 1970; before that nothing is known of them.
        """
        known = [KnownUser(user=user, version=user.version, read_at=read_at) for user in users]
        await self._write({one.user.id: (one.model_dump_json(), one.version) for one in known}, "keep")

    async def forget(self, versions: Mapping[str, int]) -> None:
        """Forget users who have changed: nothing older than these versions is found or kept any more."""
        await self._write(
            {
                user_id: (_Forgotten(version=version).model_dump_json(), version)
                for user_id, version in versions.items()
            },
            "forget",
        )

    def now(self) -> float:
        """Return the time by which states are judged."""
        return self._now()

    async def close(self) -> None:
        """Close the connections."""
        if self._valkey is not None:
            await self._valkey.aclose()

    async def _write(self, values: Mapping[str, tuple[str, int]], act: str) -> None:
        if not values:
            return

        async def write(valkey: "Valkey") -> None:
            async with valkey.pipeline(transaction=False) as pipeline:
                for user_id, (text, version) in values.items():
                    milliseconds = str(int(FRESH_SECONDS * 1000))
                    pipeline.eval(_KEEP_NEWER, 1, _key(user_id), text, str(version), milliseconds, act)
                await pipeline.execute()

        await self._ask(write)

    async def _ask(self, question: "Callable[[Valkey], Awaitable[ResultT]]") -> ResultT | None:
        """Ask Valkey, or return None: it does not answer in time, or did not a moment ago."""
        # Imported when there is a cache: most banks have none.
        from valkey.exceptions import ValkeyError  # noqa: PLC0415 - see above

        if self._monotonic() < self._left_alone_until:
            return None
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await question(self._connected())
        except (ValkeyError, OSError, TimeoutError) as error:
            self._left_alone_until = self._monotonic() + _PAUSE_SECONDS
            _faults.inc()
            _log.info("the cache of users does not answer", reason=type(error).__name__)
            return None

    def _connected(self) -> "Valkey":
        if self._valkey is None:
            from valkey.asyncio import Valkey  # noqa: PLC0415 - as above

            self._valkey = Valkey.from_url(
                self._uri, socket_timeout=_ANSWER_SECONDS, socket_connect_timeout=_ANSWER_SECONDS
            )
        return self._valkey


def _key(user_id: str) -> str:
    return f"{_PREFIX}{user_id}"


def _read(text: bytes | None) -> KnownUser | None:
    if text is None:
        return None
    try:
        return KnownUser.model_validate_json(text)
    except ValidationError:
        # Forgotten, or written by somebody else.
        return None
