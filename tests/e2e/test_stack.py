"""The local stack as a neighbour: what it runs is known, and nothing of it is reachable from outside."""

from tests.support.stack import LocalStack


async def test_nothing_listens_beyond_loopback(stack: LocalStack) -> None:
    status = await stack.status()
    parts = {part["name"]: part["port"] for part in status["parts"]}
    assert sorted(parts) == [
        *("banking_api", "cache", "gateway", "kafka", "mail", "mongod", "notifier", "user_api")
    ]
    # The search finds all that is known to run; so what it does not find does not run.
    found = {process.pid for process in stack.processes()}
    assert {status["supervisor_pid"], *(part["pid"] for part in status["parts"])} <= found
    assert set(parts.values()) <= stack.listening_ports()
    assert stack.exposed() == []


async def test_up_changes_nothing_when_everything_runs(stack: LocalStack) -> None:
    before = await stack.status()
    again = await stack.terminal.run("dev", "up")
    after = await stack.status()
    assert "runs already" in again.err
    assert [part["pid"] for part in after["parts"]] == [part["pid"] for part in before["parts"]]
