"""What the tests of banking_api share."""

import pytest

from tests.faults.planting import plant_chosen_bug


@pytest.fixture(scope="package", autouse=True)
def planted() -> None:
    """Some of the bugs that the suite must catch are caught here (tests.soak.planted)."""
    plant_chosen_bug()
