import pytest

from tests.bench.samples import Round, latencies_of, paired_ratio, quantile, spread_of


def test_a_rate_is_pieces_a_second() -> None:
    assert Round(done=500, seconds=2.0).rate == 250


def test_ratios_are_taken_round_by_round_so_that_noise_on_both_sides_cancels() -> None:
    measured, baseline = [100.0, 50.0, 30.0], [10.0, 5.0, 2.0]
    assert paired_ratio(measured, baseline) == spread_of([10.0, 10.0, 15.0])
    assert paired_ratio(measured, baseline).median == 10


def test_a_missing_round_is_no_comparison() -> None:
    with pytest.raises(ValueError, match="zip"):
        paired_ratio([1.0, 2.0], [1.0])


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 50), (0.99, 99), (0.991, 100), (1.0, 100)])
def test_a_quantile_is_a_value_that_was_measured(share: float, expected: float) -> None:
    assert quantile([float(value) for value in range(100, 0, -1)], share) == expected


def test_one_value_is_every_quantile() -> None:
    assert [quantile([7.0], share) for share in (0.0, 0.5, 0.99, 1.0)] == [7.0] * 4


def test_latencies_of_all_rounds_count() -> None:
    assert latencies_of([Round(2, 1.0, [0.1, 0.2]), Round(1, 1.0, [0.3])]) == [0.1, 0.2, 0.3]
