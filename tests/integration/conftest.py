"""What integration tests of the local stack share."""

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def isolated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BANKCTL_HOME", str(home))
        for variable in ("MONGO_URI", "KAFKA_BROKER", "JWT_SECRET", "PORT"):
            patch.delenv(variable, raising=False)
        yield home
