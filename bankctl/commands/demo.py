"""demo: the whole bank at work, on real parts, checked."""

import secrets
import sys
import time
from typing import Annotated

import typer

from bankctl import invocation
from bankctl.demo.play import Play, Verdicts
from bankctl.demo.stage import Narrator, Person
from bankctl.errors import CliError, ExitStatus
from bankctl.local.display import shown_progress
from bankctl.local.settings import PortChoice
from bankctl.local.shell import create_user
from bankctl.local.stack import Stack, Wishes
from bankctl.render import messages

STACK = "demo"


def demo(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the bank running afterwards.")] = False,
) -> None:
    """See the whole bank at work in a minute: real MongoDB, real Kafka, real daemons, real commands.

    Examples:
      bankctl demo
      bankctl demo --keep

    Two users and two operators sign in; money is booked, paid and refused; the operator's event stream shows
    it live; the books are proved at the end. Exits 1 if an expectation fails. The demonstration runs in its
    own stack, `demo`, whose data is kept.
    """
    began = time.monotonic()
    stack = Stack.load(STACK)
    with shown_progress() as progress:
        started = stack.up(progress, Wishes(port_choice=PortChoice.AUTO))
    messages.success(f"the bank serves at {started.url} after {started.seconds:.1f} s")
    narrator = Narrator(sys.stdout, colored=invocation.current().colored(sys.stdout))
    verdicts = Verdicts(narrator)
    try:
        _make_play(stack, started.url, narrator, verdicts).perform()
    finally:
        if started.changed and not keep:
            stack.down()
            messages.success("everything is stopped; `bankctl dev up` starts a bank to work with")
    if verdicts.broken:
        raise CliError(
            f"{len(verdicts.broken)} of {verdicts.held + len(verdicts.broken)} expectations did not hold: "
            + "; ".join(verdicts.broken),
            exit_status=ExitStatus.UNEXPECTED,
            hint=f"`bankctl dev logs --stack {STACK}`",
        )
    messages.success(f"all {verdicts.held} expectations held, in {time.monotonic() - began:.0f} s")


def _make_play(stack: Stack, url: str, narrator: Narrator, verdicts: Verdicts) -> Play:
    run = secrets.token_hex(3)
    people = [_person(name, run, stack, url, narrator) for name in ("Alice", "Bob", "Olga", "Oscar")]
    alice, bob, olga, oscar = people
    for operator in (olga, oscar):
        operator.password = secrets.token_urlsafe(12)
        create_user(
            stack,
            email=operator.email,
            display_name=operator.name,
            role="operator",
            password=operator.password,
        )
    return Play(alice, bob, olga, oscar, narrator, verdicts)


def _person(name: str, run: str, stack: Stack, url: str, narrator: Narrator) -> Person:
    """Give somebody a folder of their own, as if at a machine of their own, that knows the bank."""
    person = Person(name, stack.layout.root / "people" / name.lower(), narrator)
    person.email = f"{name.lower()}-{run}@example.com"
    for setting, value in (("url", url), ("ca_file", str(stack.layout.certificate))):
        if person.run_quietly("config", "set", setting, value, "--profile", "demo").status != 0:
            raise CliError(f"the profile of {name} could not be made", exit_status=ExitStatus.UNEXPECTED)
    return person
