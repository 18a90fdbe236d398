from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from daemons.contracts.digest import EventSetDigest

ids = st.lists(st.uuids(), unique=True, max_size=30)


def digest(of: list[UUID]) -> tuple[int, str]:
    result = EventSetDigest()
    for event_id in of:
        result.add(event_id)
    return result.count, result.hexdigest()


@given(ids, st.randoms())
def test_order_does_not_matter(of: list[UUID], random: object) -> None:
    shuffled = list(of)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert digest(shuffled) == digest(of)


@given(ids.filter(bool))
def test_a_missing_a_doubled_and_another_id_show(of: list[UUID]) -> None:
    assert digest(of[1:]) != digest(of)
    assert digest([*of, of[0]]) != digest(of)
    assert digest([UUID(int=of[0].int ^ 1), *of[1:]]) != digest(of)
