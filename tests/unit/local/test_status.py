import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bankctl.local.identity import Identity
from bankctl.local.layout import Layout
from bankctl.local.part import Health, Part
from bankctl.local.process_runner import ProcessRunner
from bankctl.local.settings import DEFAULT_PORTS, Settings
from bankctl.local.state import Intent, StackState
from bankctl.local.status import look

# What a server does that cannot write any more; the system itself says that there is no space.
WRITES_TO_A_FULL_DISK = "print('x', file=open('/dev/full', 'w'), flush=True)"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout("local", tmp_path / "stack")
    layout.create()
    return layout


async def test_status_names_a_full_disk_as_what_ends_a_part(layout: Layout) -> None:
    part = Part(name="mongod", port=1, command=[sys.executable, "-c", WRITES_TO_A_FULL_DISK])
    with ThreadPoolExecutor(4) as threads:
        runner = ProcessRunner(part, layout, threads, lambda: None)
        keeping = asyncio.create_task(runner.keep([]))
        async with asyncio.timeout(30):
            while runner.state.health is not Health.RESTARTING:  # noqa: ASYNC110 - another process sets no event
                await asyncio.sleep(0.01)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
    state = StackState(Identity.of(os.getpid()), {"mongod": runner.state})
    settings = Settings(
        id="x", ports=dict(DEFAULT_PORTS), jwt_secret="s" * 32, service_keys={}, checkpoint_key="c"
    )

    found = look(layout, settings, Intent(("mongod",), tools={"mongod": "mongod"}), state)

    [shown] = found.parts
    assert not found.well
    assert str(shown.detail).startswith("its disk is full: ")
    assert f"MB are free in {layout.root}; ended with status 1" in str(shown.detail)
