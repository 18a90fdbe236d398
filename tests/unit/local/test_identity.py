import os
import subprocess
import sys

from bankctl.local.identity import PART_MARK, STACK_MARK, Identity, marked


def test_this_process_is_itself() -> None:
    identity = Identity.of(os.getpid())

    assert identity is not None
    assert identity.alive()


def test_the_same_id_created_at_another_time_is_another_process() -> None:
    identity = Identity.of(os.getpid())
    assert identity is not None

    assert not Identity(identity.pid, identity.created - 60).alive()


def test_a_process_that_has_ended_is_not_alive_even_before_its_parent_has_noticed() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        identity = Identity.of(child.pid)
        assert identity is not None
        assert identity.alive()
        process = identity.process()
        assert process is not None
        child.kill()
        process.wait()

        assert not identity.alive()


def test_processes_of_a_stack_are_found_by_their_mark() -> None:
    environment = {**os.environ, STACK_MARK: "stack-of-this-test", PART_MARK: "kafka"}
    with subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        found = list(marked("stack-of-this-test"))
        child.kill()

    assert [(it.part, it.identity.pid, it.leads) for it in found] == [("kafka", child.pid, False)]
    assert list(marked("another-stack")) == []
