"""Keys that were settled lately are known; older ones are forgotten, so that memory is bounded."""

from daemons.banking_api.ledger.recent_keys import RecentKeys

GENERATION = 50_000


def ids(start: int) -> list[bytes]:
    return [number.to_bytes(16, "big") for number in range(start, start + GENERATION)]


def test_at_least_the_last_generation_is_known_and_at_most_two() -> None:
    keys = RecentKeys()
    first, second, third = ids(0), ids(GENERATION), ids(2 * GENERATION)
    assert not keys.any_of(first)
    keys.add(first)
    assert keys.any_of([b"unknown", first[0]])
    assert not keys.any_of(second)
    keys.add(second)
    assert keys.any_of(first[-1:])
    assert keys.any_of(second[:1])
    keys.add(third)
    assert not keys.any_of(first)
    assert keys.any_of(second[-1:])
    assert keys.any_of(third[-1:])
