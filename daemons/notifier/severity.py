"""How urgent an event is to the people who watch."""

from enum import StrEnum


class Severity(StrEnum):
    """`warning` is an alert: somebody should look."""

    INFO = "info"
    WARNING = "warning"
