"""Prometheus metrics that all daemons have; a daemon's own stand beside what they measure."""

from prometheus_client import Histogram

REQUEST_SECONDS = Histogram(
    "bankctl_http_request_seconds",
    "Time from the first line of a request to its answer",
    ["method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
