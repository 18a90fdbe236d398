"""Fixtures that all tests may ask for."""

pytest_plugins = [
    "tests.support.mongo",
    "tests.support.kafka",
    "tests.support.notifier",
    "tests.support.bank",
]
