"""Which idempotency ids this process has settled lately: a hint where to look, never a proof."""

from collections.abc import Iterable, Sequence

_GENERATION = 50_000


class RecentKeys:
    """Remembers the last 50,000 to 100,000 ids in two generations, 16 bytes each and what a set takes."""

    def __init__(self) -> None:
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()

    def any_of(self, ids: Iterable[bytes]) -> bool:
        """Tell whether one of the ids was settled lately."""
        return any(id_ in self._young or id_ in self._old for id_ in ids)

    def add(self, ids: Sequence[bytes]) -> None:
        """Remember the ids."""
        if len(self._young) >= _GENERATION:
            self._old, self._young = self._young, set()
        self._young.update(ids)
