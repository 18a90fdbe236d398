import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bankctl.local import ports
from bankctl.local.follow import last_lines
from bankctl.local.identity import Identity
from bankctl.local.layout import Layout
from bankctl.local.part import Health, Part, Step
from bankctl.local.process_runner import ProcessRunner, pause_seconds
from bankctl.local.shutdown import Victim, stop

STANDIN = str(Path(__file__).with_name("standin.py"))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - the state of another process sets no event
            await asyncio.sleep(0.01)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout("local", tmp_path / "stack")
    layout.create()
    return layout


@pytest.fixture
async def keep(layout: Layout) -> AsyncIterator[Callable[[Part], ProcessRunner]]:
    kept: list[tuple[ProcessRunner, asyncio.Task[None]]] = []
    with ThreadPoolExecutor(8) as threads:

        def start(part: Part) -> ProcessRunner:
            runner = ProcessRunner(part, layout, threads, lambda: None)
            kept.append((runner, asyncio.create_task(runner.keep([]))))
            return runner

        yield start
        for runner, task in kept:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if runner.identity:
                await asyncio.to_thread(stop, [Victim(runner.part.name, runner.identity)])


def standin(behaviour: str, number: int, **more: object) -> Part:
    return Part(
        name="standin",
        port=number,
        command=[sys.executable, STANDIN, behaviour, str(number)],
        ready_url=f"http://127.0.0.1:{number}/readyz",
        bad_settings_status=2,
        **more,
    )


async def test_a_part_that_is_killed_is_started_again(keep: Callable[[Part], ProcessRunner]) -> None:
    runner = keep(standin("serve", *ports.pick(1)))
    await until(lambda: runner.state.health is Health.HEALTHY)
    first = runner.state.pid
    assert first is not None

    os.kill(first, signal.SIGKILL)
    await until(lambda: runner.state.health is Health.HEALTHY and runner.state.pid != first)

    assert runner.state.restarts == 1


async def test_a_part_that_refuses_its_settings_is_not_started_for_ever(
    keep: Callable[[Part], ProcessRunner], layout: Layout
) -> None:
    runner = keep(standin("exit", 2))
    await until(lambda: runner.state.health is Health.FAILED)

    assert runner.state.restarts == 0
    assert "status 2" in (runner.state.detail or "")
    assert last_lines(layout.log("standin"), 1) == ["no such setting: COLOUR"]

    runner.retry_now()
    await until(lambda: runner.state.restarts == 1 and runner.state.health is Health.FAILED)


async def test_a_crash_loop_backs_off_and_is_counted(keep: Callable[[Part], ProcessRunner]) -> None:
    runner = keep(standin("exit", 1))

    await until(lambda: runner.state.failures >= 3)

    assert runner.state.health in {Health.RESTARTING, Health.STARTING}


def test_pauses_grow_and_are_bounded() -> None:
    pauses = [pause_seconds(failures) for failures in range(40)]

    assert pauses == sorted(pauses)
    assert pauses[0] <= 0.5
    assert pauses[-1] == pytest.approx(30)


async def test_what_must_come_once_comes_once_and_into_an_empty_folder(
    keep: Callable[[Part], ProcessRunner], tmp_path: Path
) -> None:
    folder, marker = tmp_path / "data", tmp_path / "formatted"
    folder.mkdir()
    (folder / "half").write_text("left by a step that was killed")
    script = f"import pathlib; pathlib.Path({str(folder)!r}).mkdir()"
    once = Step([sys.executable, "-c", script], folder=folder, marker=marker)
    runner = keep(standin("serve", *ports.pick(1), once=once))
    await until(lambda: runner.state.health is Health.HEALTHY)
    assert marker.exists()
    assert list(folder.iterdir()) == []

    (folder / "data").write_text("precious")
    first = runner.state.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: runner.state.health is Health.HEALTHY and runner.state.pid != first)
    assert (folder / "data").read_text() == "precious"


async def test_a_part_that_ignores_the_request_to_end_is_killed(
    keep: Callable[[Part], ProcessRunner],
) -> None:
    runner = keep(standin("stay", *ports.pick(1)))
    await until(lambda: runner.state.health is Health.HEALTHY)
    identity = runner.identity
    assert identity is not None

    assert await asyncio.to_thread(stop, [Victim("standin", identity, seconds=0.2)]) == []
    assert not identity.alive()


async def test_a_process_with_our_old_id_is_never_signalled() -> None:
    own = Identity.of(os.getpid())
    assert own is not None
    before_us = Identity(own.pid, own.created - 3600)

    assert await asyncio.to_thread(stop, [Victim("not us", before_us, seconds=0.1)]) == []
