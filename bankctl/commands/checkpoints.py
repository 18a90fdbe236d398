"""admin checkpoints list, show, export, keys; and verify, which needs no bank."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer

from bankctl.client.bank import open_bank
from bankctl.commands.accounts import All, Limit
from bankctl.config import load_profile
from bankctl.errors import CliError, ExitStatus, usage_error
from bankctl.heads import load_held, read_key_option
from bankctl.invocation import current
from bankctl.receipt import (
    EXPORT_FORMAT,
    InvalidProofError,
    verify_checkpoints,
    verify_receipt,
)
from bankctl.render import messages
from bankctl.render.column import Column
from bankctl.render.output import emit, emit_event
from daemons.contracts.checkpoint import CheckpointKey, SignedCheckpoint, open_note, read_checkpoint

app = typer.Typer(
    help="""What the bank has signed of its journal (support staff).

Examples:
  bankctl admin checkpoints list
  bankctl admin checkpoints export > checkpoints.json

A checkpoint is the number of seals in the journal and the root of a Merkle tree over them. Keep some where
the bank's operators cannot change them: `bankctl verify` shows whether the journal still goes on from them.
"""
)
_COLUMNS = [
    Column("number", "No.", "right"),
    Column("made_at", "Signed"),
    Column("size", "Seals", "right"),
    Column("records", "Records", "right"),
    Column("proved", "Proved"),
    Column("root", "Root", rank=1),
]
_DETAILS = [*_COLUMNS, Column("note", "Note")]
_VERIFIED = [
    Column("transaction_id", "Transaction"),
    Column("kind", "Kind"),
    Column("status", "Status"),
    Column("at", "Time"),
    Column("data", "Content"),
    Column("entries", "Entries"),
    Column("seal", "Seal"),
    Column("checkpoint.size", "Seals in the checkpoint"),
    Column("checkpoint.time", "Checkpoint of"),
    Column("key", "Signed with key"),
]


@app.command("list")
def list_checkpoints(*, limit: Limit = 50, everything: All = False) -> None:
    """List the checkpoints, newest first.

    Examples:
      bankctl admin checkpoints list
      bankctl admin checkpoints list --all -o csv
    """
    with open_bank() as bank:
        found = bank.checkpoints.list(limit=None if everything else limit)
        emit((_with_content(one) for one in found), columns=_COLUMNS, title="Checkpoints")


@app.command()
def show(number: Annotated[int, typer.Argument(metavar="NUMBER", help="The checkpoint's number.")]) -> None:
    """Show one checkpoint with the signed note.

    Examples:
      bankctl admin checkpoints show 12
      bankctl admin checkpoints show 12 --query note --raw > checkpoint.txt
    """
    with open_bank() as bank:
        emit(_with_content(bank.checkpoints.show(number)), columns=_DETAILS)


@app.command()
def export() -> None:
    """Print all checkpoints with the proofs that each goes on from the one before, as JSON.

    Examples:
      bankctl admin checkpoints export > checkpoints.json

    `bankctl verify checkpoints.json` checks the file without the bank.
    """
    with open_bank() as bank:
        notes = [one["note"] for one in bank.checkpoints.list(limit=None)][::-1]
        sizes = [read_checkpoint(note).size for note in notes]
        proofs = [bank.checkpoints.consistency(one, other) for one, other in pairwise(sizes)]
        keys = bank.checkpoints.keys()
    proven = [proof for proof in proofs if proof is not None]
    emit_event({"format": EXPORT_FORMAT, "keys": keys, "checkpoints": notes, "consistency": proven})


@app.command()
def keys() -> None:
    """Show the public keys that sign checkpoints, or have signed earlier ones; the first one signs now.

    Examples:
      bankctl admin checkpoints keys
      bankctl admin checkpoints keys --query "[0].key" --raw > bank.key
    """
    with open_bank() as bank:
        found = bank.checkpoints.keys()
    emit([{"key": key} for key in found], columns=[Column("key", "Key")], title="Keys")


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A receipt, or an export of checkpoints.")],
    *,
    key: Annotated[
        str | None, typer.Option("--key", metavar="KEY", help="The bank's public key, or a file with it.")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", metavar="FILE", help="A checkpoint that you hold."),
    ] = None,
) -> None:
    """Verify a receipt or an export of checkpoints on this machine, without the bank.

    Examples:
      bankctl verify receipt.json
      bankctl verify receipt.json --key bank.key --checkpoint checkpoint.txt

    It checks that the bank has signed a journal in which the transaction stands just so, and that this
    journal goes on from the checkpoint that you hold. Without --key it uses the keys that this machine has
    kept since the first `bankctl admin prove` or `bankctl transactions receipt`. Exits 1 if anything does
    not fit.
    """
    known = [read_key_option(key)] if key else load_held(load_profile(current().profile)).keys
    if not known:
        raise usage_error(
            "this machine knows no key of the bank",
            hint="give --key KEY; `bankctl admin checkpoints keys` shows the bank's keys",
        )
    content = _read(file)
    held = None if checkpoint is None else _held(checkpoint, known)
    try:
        if content.get("format") == EXPORT_FORMAT:
            signed = verify_checkpoints(content, known, held)
            emit([_signed_view(one) for one in signed], columns=_COLUMNS[2:], title="Checkpoints")
        else:
            verified = verify_receipt(content, known, held)
            emit(receipt_view(verified.record, verified.signed, verified.seal), columns=_VERIFIED)
    except InvalidProofError as error:
        raise CliError(
            f"{file} is not valid: {error}",
            exit_status=ExitStatus.UNEXPECTED,
            hint="keep the file, and ask the bank about it",
            code="not_valid",
        ) from error
    against = "" if held is None else ", and goes on from the checkpoint that you hold"
    messages.success(f"{file} is valid{against}")


def receipt_view(record: Any, signed: SignedCheckpoint, seal: int) -> dict[str, Any]:
    """What a receipt proves, to be shown."""
    shown = {name: record.get(name) for name in ("kind", "status", "at", "data", "failure", "entries")}
    return {
        "transaction_id": record["_id"],
        **shown,
        "seal": seal,
        "checkpoint": _signed_view(signed),
        "key": signed.key.id,
    }


def _signed_view(signed: SignedCheckpoint) -> dict[str, Any]:
    checkpoint = signed.checkpoint
    return {
        "size": checkpoint.size,
        "records": checkpoint.records,
        "root": checkpoint.root.hex(),
        "time": checkpoint.time,
        "proved": checkpoint.states is not None,
    }


def _with_content(found: dict[str, Any]) -> dict[str, Any]:
    checkpoint = read_checkpoint(found["note"])
    return {**found, "records": checkpoint.records, "root": checkpoint.root.hex()}


def _held(path: Path, known: list[CheckpointKey]) -> SignedCheckpoint:
    try:
        return open_note(path.read_text(encoding="utf-8"), known)
    except (OSError, ValueError) as error:
        raise usage_error(
            f"{path} holds no checkpoint of this bank: {error}",
            hint="`bankctl admin checkpoints show NUMBER --query note --raw` prints one",
        ) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise usage_error(
            f"{path} cannot be read: {error}", hint="`bankctl transactions receipt ID` writes a receipt"
        ) from error
    if not isinstance(content, dict):
        raise usage_error(f"{path} is no receipt", hint="`bankctl transactions receipt ID` writes one")
    return content
