"""Prometheus metrics that all daemons have; a daemon's own stand beside what they measure."""

from prometheus_client import Histogram

REQUEST_SECONDS = Histogram(
    "bankctl_http_request_seconds",
    "Time from the first line of a request to its answer",
    ["method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

_request_seconds: dict[tuple[str, str, int], Histogram] = {}


def observe_request(method: str, route: str, status: int, seconds: float) -> None:
    """Count a request and its time; the labels of a route are looked up in the library only once."""
    labels = method, route, status
    histogram = _request_seconds.get(labels)
    if histogram is None:
        histogram = _request_seconds[labels] = REQUEST_SECONDS.labels(*labels)
    histogram.observe(seconds)
