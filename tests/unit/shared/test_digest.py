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


def test_two_daemons_of_different_builds_reckon_alike() -> None:
    # SHA-256 of the sixteen bytes of each id, cut to 16 bytes and added modulo 2**128.
    one, two = UUID(int=1), UUID(int=2)
    assert digest([]) == (0, "0" * 32)
    assert digest([one]) == (1, "7c3ccd10bb7ec37b46d37926ae627426")
    assert digest([one, two]) == (2, "e56532da5ef5652373e9943643dacd7b")
    # It goes past 2**128 here.
    assert digest([one, two, two, one, one]) == (5, "470732c579698dc22ea6a19336180f1c")
