"""Each planted bug is caught by the test that has to catch it."""

import pytest

from tests.faults.planted_bugs import BUGS
from tests.soak.planted import CATCHES, run


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("bug", list(BUGS))
def test_the_suite_catches(bug: str) -> None:
    """That its test passes without the bug is seen where that test itself is run."""
    found = run(bug)
    assert found.caught, f"not caught by {CATCHES[bug].test}: {found.said}"
