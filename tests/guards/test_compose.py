"""compose.yaml starts its servers as the local stack does, where that matters for the ledger."""

from pathlib import Path

import pytest
import yaml

from bankctl.local.mongod import WRITE_BACK

COMPOSE = Path(__file__).parents[2] / "compose.yaml"


@pytest.mark.parametrize("member", ["mongo1", "mongo2", "mongo3"])
def test_each_mongod_writes_pages_back_as_the_local_one_does(member: str) -> None:
    command = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"][member]["command"]

    assert "=".join(WRITE_BACK) in command
