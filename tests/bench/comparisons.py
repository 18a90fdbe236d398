"""From the rounds of two contenders to one figure."""

from tests.bench.contenders import Contender
from tests.bench.figures import TIMES, Bound, Figure, at_most
from tests.bench.samples import latencies_of, paired_ratio, quantile, spread_of


def rate_figure(
    row: str, title: str, measured: Contender, baseline: Contender, bound: Bound | None
) -> Figure:
    """How many times the baseline's rate."""
    latencies = latencies_of(measured.rounds)
    p50, p99 = (quantile(latencies, share) * 1000 for share in (0.5, 0.99))
    mine, other = spread_of(measured.rates).median, spread_of(baseline.rates).median
    return Figure(
        row=row,
        title=title,
        value=paired_ratio(measured.rates, baseline.rates),
        unit=TIMES,
        bound=bound,
        made_of=(f"{mine:,.0f}/s (p50 {p50:.1f}, p99 {p99:.1f} ms) against {other:,.0f}/s ({baseline.name})"),
        data={
            "measured_per_second": measured.rates,
            "baseline_per_second": baseline.rates,
            "p50_ms": p50,
            "p99_ms": p99,
        },
    )


def p50_figure(
    row: str, title: str, measured: Contender, baseline: Contender, *, most: float = 1.3
) -> Figure:
    """How many times the baseline's median latency."""
    mine, other = p50_milliseconds(measured), p50_milliseconds(baseline)
    return Figure(
        row=row,
        title=title,
        value=paired_ratio(mine, other),
        unit=TIMES,
        bound=at_most(most),
        made_of=f"{spread_of(mine).median:.2f} ms against {spread_of(other).median:.2f} ms ({baseline.name})",
        data={"measured_p50_ms": mine, "baseline_p50_ms": other},
    )


def p50_milliseconds(contender: Contender) -> list[float]:
    """The median latency of each round."""
    return [quantile(one.latencies_seconds, 0.5) * 1000 for one in contender.rounds]
