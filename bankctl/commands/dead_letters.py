"""admin dead-letters list, show, replay, resume."""

from collections import Counter
from typing import Annotated, Any

import typer

from bankctl import prompts
from bankctl.client.bank import BankClient, open_bank
from bankctl.commands.accounts import All, Limit
from bankctl.commands.events import checked_type
from bankctl.errors import CliError, ExitStatus, usage_error
from bankctl.render import messages
from bankctl.render.column import Column
from bankctl.render.output import emit
from daemons.contracts.names import LetterStatus

app = typer.Typer(
    help="""Records that the notifier could not read: inspect them, fix the cause, replay them.

Examples:
  bankctl admin dead-letters list --status open
  bankctl admin dead-letters replay --all
"""
)

_Letter = Annotated[str, typer.Argument(metavar="LETTER", help="The letter's id.")]
_Topic = Annotated[
    str | None, typer.Option("--topic", metavar="TYPE", help="Only this topic (see `events types`).")
]
_COLUMNS = [
    Column("id", "Letter"),
    Column("received_at", "Since", rank=2),
    Column("topic", "Topic", rank=1),
    Column("partition", "Part.", "right", rank=3),
    Column("offset", "Offset", "right", rank=3),
    Column("status", "Status"),
    Column("reason", "Why", cut=True),
]
_REPLAY = [
    Column("last_replay.result", "Result"),
    Column("last_replay.event_id", "Event"),
    Column("last_replay.by.display_name", "Replayed by"),
    Column("last_replay.at", "Replayed"),
]
_DETAILS = [
    *_COLUMNS,
    *_REPLAY,
    Column("key.text", "Key"),
    Column("headers", "Headers"),
    Column("value.size", "Bytes"),
    Column("value.text", "Value"),
]
_REPORT = [
    Column("recorded", "Recorded", "right"),
    Column("already_recorded", "Were already", "right"),
    Column("undecodable", "Still unreadable", "right"),
]
_INTAKE = [
    Column("open", "Open"),
    Column("limit", "Limit", "right"),
    Column("window_minutes", "Minutes", "right"),
    Column("kept", "Set aside", "right"),
    Column("closed_by", "Stopped by"),
    Column("reopened.by.display_name", "Resumed by"),
    Column("reopened.at", "Resumed"),
    Column("reopened.reason", "Because"),
]


@app.command("list")
def list_letters(
    *,
    topic: _Topic = None,
    status: Annotated[LetterStatus | None, typer.Option("--status", help="Only those.")] = None,
    limit: Limit = 50,
    everything: All = False,
) -> None:
    """List the records that could not be read, newest first (support staff).

    Examples:
      bankctl admin dead-letters list
      bankctl admin dead-letters list --status open --topic TransactionFailed
      bankctl admin dead-letters list --all -o json --query "[?status=='open'].id"

    Beyond a limit the notifier stops instead of setting more aside; a message on stderr then says so.
    """
    wanted = checked_type(topic)
    with open_bank() as bank:
        found = bank.dead_letters.list(topic=wanted, status=status, limit=None if everything else limit)
        emit(found, columns=_COLUMNS, title="Dead letters")
        _say_if_stopped(bank)


@app.command()
def show(letter: _Letter) -> None:
    """Show one record as received, why it could not be read, and its outcome (support staff).

    Examples:
      bankctl admin dead-letters show 0190a1b2-0000-7000-8000-000000000001
      bankctl admin dead-letters show 0190a1b2-0000-7000-8000-000000000001 --query value.base64
    """
    with open_bank() as bank:
        emit(bank.dead_letters.show(letter), columns=_DETAILS)


@app.command()
def replay(
    letter: Annotated[str | None, typer.Argument(metavar="[LETTER]", help="The letter's id.")] = None,
    *,
    topic: _Topic = None,
    everything: Annotated[bool, typer.Option("--all", help="All open ones, of every topic.")] = False,
) -> None:
    """Read records again, for example after a release that can read them (operators).

    Examples:
      bankctl admin dead-letters replay 0190a1b2-0000-7000-8000-000000000001
      bankctl admin dead-letters replay --topic TransactionFailed
      bankctl admin dead-letters replay --all -o json

    Records that can be read now are recorded and notified exactly once, however often they are replayed; each
    letter stores who replayed it, when, and the outcome. Exits 1 if one still cannot be read.
    """
    if sum((letter is not None, topic is not None, everything)) != 1:
        raise usage_error(
            "give LETTER, --topic or --all", hint="`bankctl admin dead-letters list` lists them"
        )
    wanted = checked_type(topic)
    if letter is None:
        prompts.confirm(f"Replay all open dead letters{f' of {wanted}' if wanted else ''}?")
    with open_bank() as bank:
        if letter is not None:
            _replay_one(bank, letter)
        else:
            _replay_many(bank, wanted)


@app.command()
def resume(*, reason: Annotated[str, typer.Option("--reason", help="Why; kept.")]) -> None:
    """Let the notifier set records aside again after it has stopped at the limit (operators).

    Examples:
      bankctl admin dead-letters resume --reason "test records, fixed in release 1.4.1"

    A notifier that can read the record at which it stopped continues by itself; this command is for records
    that stay unreadable. Restarting the notifier does not help, so that a supervisor cannot set everything
    aside.
    """
    with open_bank() as bank:
        emit(bank.dead_letters.resume(reason=reason), columns=_INTAKE)
    messages.success("the notifier sets unreadable records aside again, up to the limit")


def _replay_one(bank: BankClient, letter: str) -> None:
    done = bank.dead_letters.replay(letter)
    emit(done, columns=[*_COLUMNS, *_REPLAY])
    if done["status"] == "open":
        raise _still_unreadable(f"{letter}: {done['reason']}")
    new = done["last_replay"]["result"] == "recorded"
    messages.success("recorded now" if new else "the event was already recorded")


def _replay_many(bank: BankClient, topic: str | None) -> None:
    total: Counter[str] = Counter({column.path: 0 for column in _REPORT})
    for step in bank.dead_letters.replay_open(topic=topic):
        total.update({column.path: step[column.path] for column in _REPORT})
    emit(dict(total), columns=_REPORT)
    if total["undecodable"]:
        raise _still_unreadable(f"{total['undecodable']} letters")


def _still_unreadable(what: str) -> CliError:
    return CliError(
        f"still cannot be read: {what}",
        exit_status=ExitStatus.UNEXPECTED,
        hint="`bankctl admin dead-letters list --status open` lists them",
        code="undecodable",
    )


def _say_if_stopped(bank: BankClient) -> None:
    intake: dict[str, Any] = bank.dead_letters.intake()
    if not intake["open"]:
        messages.warn(
            f"the limit of {intake['limit']} in {intake['window_minutes']} minutes was reached at "
            f"{intake['closed_by']}; no more are set aside until "
            "`bankctl admin dead-letters resume --reason WHY`"
        )
