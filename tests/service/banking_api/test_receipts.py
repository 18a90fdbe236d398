"""Receipts of a real bank, verified by the command line and by the verifier in docs/, and tampered with."""

import copy
import json
import runpy
import struct
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography.exceptions import InvalidSignature

from bankctl.local.service_keys import make_key
from bankctl.receipt import InvalidProofError, verify_receipt
from daemons.banking_api.books.checkpoint_routes import CHECKPOINTS_KEY
from daemons.banking_api.books.checkpoints import CheckpointKeys, Checkpoints
from daemons.contracts.checkpoint import SignedCheckpoint, open_note, read_checkpoint, read_key
from daemons.shared.auth.keys import read_private_key
from tests.support.bank import CLOSED_PORT, Person, running_bank

SCRIPT = Path(__file__).parents[3] / "docs" / "verify_receipt.py"
STANDALONE: Any = runpy.run_path(str(SCRIPT))
REFUSALS = (ValueError, KeyError, TypeError, IndexError, AttributeError, struct.error, InvalidSignature)
"""What the main program of the standalone verifier catches."""
Receipt = dict[str, Any]


@dataclass(frozen=True)
class Given:
    """Receipts of one transfer, another one's, the key, and a checkpoint from before."""

    of_party: Receipt
    of_staff: Receipt
    of_another: Receipt
    key: str
    held: str
    balances: tuple[str, str]
    signer: CheckpointKeys


@pytest_asyncio.fixture(scope="module")
async def given(mongo_uri: str) -> AsyncIterator[Given]:
    async with running_bank(mongo_uri, kafka_broker=CLOSED_PORT) as bank:
        checkpoints: Checkpoints = bank.app[CHECKPOINTS_KEY]
        payer, payee = await bank.person(), await bank.person("Bob")
        operator = await bank.person("Olga", "operator")
        sender, receiver = await payer.open_account(), await payee.open_account()
        await operator.fund(sender, "10.00")
        held = await checkpoints.make()
        assert held is not None
        ids = []
        for _ in range(3):
            # Many in one group, so that a proof within it has steps.
            rows = [
                {
                    "from_account": sender,
                    "to_account": receiver,
                    "amount": "0.01",
                    "currency": "EUR",
                    "idempotency_key": f"row-{len(ids)}-{place}",
                    "reference": "Miete",
                }
                for place in range(5)
            ]
            done = await payer.post("/transactions/batch", {"transfers": rows, "atomic": True})
            assert done.status_code in {200, 201, 207}, done.text
            ids += [row["transaction"]["id"] for row in done.json()["results"]]
        await checkpoints.make()

        async def receipt(person: Person, id_: str) -> Receipt:
            body = {"since": read_checkpoint(held.note).size}
            made = await person.post(f"/transactions/{id_}/receipt", body)
            assert made.status_code == 200, made.text
            shown: Receipt = made.json()
            return shown

        yield Given(
            await receipt(payee, ids[7]),
            await receipt(operator, ids[7]),
            await receipt(payee, ids[2]),
            checkpoints.keys.current.text(),
            held.note,
            (await payer.balance(sender), await payee.balance(receiver)),
            checkpoints.keys,
        )


def verified(receipt: Receipt, key: str, held: str | None) -> dict[str, Any]:
    """What the command line's code makes of it."""
    keys = [read_key(key)]
    kept: SignedCheckpoint | None = None if held is None else open_note(held, keys)
    return dict(verify_receipt(receipt, keys, kept).record)


def test_both_verifiers_read_the_record_out_of_a_receipt(given: Given) -> None:
    for receipt in (given.of_party, given.of_staff):
        one = verified(receipt, given.key, given.held)
        other = STANDALONE["verify"](receipt, given.key, given.held)
        assert {**one, "at": None} == {**other, "at": None}
        assert one["_id"] == receipt["transaction_id"]
        assert (one["kind"], one["status"], one["data"]["amount"]) == ("transfer", "completed", 1)
        assert one["data"]["reference"] == "Miete"
        assert one["at"][:10] == other["at"][:10]


def test_a_party_learns_no_balance_and_staff_all(given: Given) -> None:
    assert "entries" not in verified(given.of_party, given.key, None)
    entries = verified(given.of_staff, given.key, None)["entries"]
    assert [entry["amount"] for entry in entries] == [-1, 1]
    assert all("balance" in entry and "owner" in entry for entry in entries)
    assert len(bytes.fromhex(entries[0]["salt"])) == 16


def test_the_standalone_verifier_is_short_and_needs_one_package() -> None:
    text = SCRIPT.read_text("utf-8")
    assert len(text.splitlines()) <= 150
    imported = {
        line.split()[1].partition(".")[0]
        for line in text.splitlines()
        if line.startswith(("import ", "from "))
    }
    assert imported - set(sys.stdlib_module_names) == {"cryptography"}


def test_the_standalone_verifier_runs_by_itself(given: Given, tmp_path: Path) -> None:
    file, held = tmp_path / "receipt.json", tmp_path / "held.txt"
    file.write_text(json.dumps(given.of_party), "utf-8")
    held.write_text(given.held, "utf-8")
    command = [sys.executable, "-I", str(SCRIPT), str(file), given.key]
    for arguments in (command, [*command, str(held)]):
        done = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)["_id"] == given.of_party["transaction_id"]
    file.write_text(json.dumps({**given.of_party, "seal": given.of_another["seal"]}), "utf-8")
    refused = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert refused.returncode == 1
    assert refused.stderr.startswith("NOT VALID: ")
    assert refused.stdout == ""


def flipped(text: str, place: int) -> str:
    raw = bytearray(b64decode(text))
    raw[place] ^= 1
    return b64encode(raw).decode()


def at(path: str, change: Callable[[Any], Any]) -> Callable[[Receipt, Given], None]:
    """Change one part of a receipt."""
    *names, last = path.split(".")

    def tamper(receipt: Receipt, _: Given) -> None:
        part = receipt
        for name in names:
            part = part[name]
        part[last] = change(part[last])

    return tamper


def taken_over(*names: str) -> Callable[[Receipt, Given], None]:
    """Parts of another receipt of the same bank."""

    def tamper(receipt: Receipt, given: Given) -> None:
        for name in names:
            receipt[name] = given.of_another[name]

    return tamper


def renamed(old: bytes, new: bytes) -> Callable[[Receipt, Given], None]:
    """Other content under the same proofs."""
    return at("record.after", lambda text: b64encode(b64decode(text).replace(old, new)).decode())


def signed_by_another(receipt: Receipt, given: Given) -> None:
    private = read_private_key(make_key())
    bank_id = given.signer.origin.partition("/")[2]
    checkpoint = read_checkpoint(receipt["checkpoint"])
    receipt["checkpoint"] = CheckpointKeys(bank_id, private, []).sign(checkpoint)  # type: ignore[arg-type]


TAMPERINGS: dict[str, Callable[[Receipt, Given], None]] = {
    "another reference": renamed(b"Miete", b"Leihe"),
    "another status": renamed(b"completed", b"completex"),
    "another kind": renamed(b"transfer", b"transfex"),
    "another amount": at("record.after", lambda text: flipped(text, -30)),
    "first byte": at("record.before", lambda text: flipped(text, 0)),
    "another id": at("record.before", lambda text: flipped(text, 20)),
    "end of the record": at("record.after", lambda text: flipped(text, -1)),
    "bytes added": at("record.after", lambda text: b64encode(b64decode(text) + b"\0").decode()),
    "bytes cut off": at("record.after", lambda text: b64encode(b64decode(text)[:-1]).decode()),
    "record of another": taken_over("record"),
    "record and id of another": taken_over("record", "transaction_id"),
    "id of another": taken_over("transaction_id"),
    "another hash of entries": at("record.entries_hash", lambda text: flipped(text, 5)),
    "other entries": at("record.entries", lambda _: b64encode(b"\x05\0\0\0\0").decode()),
    "entries that are none": at("record.entries", lambda _: "AAAA"),
    "another index in the group": at("record_inclusion.index", lambda index: index + 1),
    "negative index": at("record_inclusion.index", lambda _: -1),
    "a step of the group's proof missing": at("record_inclusion.path", lambda path: path[:-1]),
    "a step of the group's proof more": at("record_inclusion.path", lambda path: [*path, path[0]]),
    "steps of the group's proof swapped": at("record_inclusion.path", lambda path: path[::-1]),
    "another number of the seal": at("seal", lambda text: flipped(text, 7)),
    "another count of records": at("seal", lambda text: flipped(text, 15)),
    "another time of the seal": at("seal", lambda text: flipped(text, 23)),
    "another seal before": at("seal", lambda text: flipped(text, 30)),
    "another root of the group": at("seal", lambda text: flipped(text, 60)),
    "seal of another": taken_over("seal", "seal_inclusion"),
    "another index in the journal": at("seal_inclusion.index", lambda index: index - 1),
    "another size of the journal": at("seal_inclusion.size", lambda size: size - 1),
    "a step of the journal's proof changed": at(
        "seal_inclusion.path", lambda path: [flipped(path[0], 0), *path[1:]]
    ),
    "a step of the journal's proof missing": at("seal_inclusion.path", lambda path: path[1:]),
    "another root in the checkpoint": at(
        "checkpoint", lambda note: note.replace(note.split("\n")[2], flipped(note.split("\n")[2], 0))
    ),
    "another time of the checkpoint": at("checkpoint", lambda note: note.replace("time 2", "time 3")),
    "another signature": at("checkpoint", lambda note: note[:-20] + "AAAA" + note[-16:]),
    "no signature": at("checkpoint", lambda note: note.partition("\u2014")[0]),
    "an earlier checkpoint": lambda receipt, given: receipt.update(checkpoint=given.held),
    "signed by another key": signed_by_another,
    "no proof from the checkpoint held": at("consistency", lambda _: None),
    "another proof from the checkpoint held": at(
        "consistency.path", lambda path: [flipped(path[0], 0), *path[1:]]
    ),
    "another format": at("format", lambda _: "bankctl receipt 2"),
    "a part missing": lambda receipt, _: receipt.pop("seal"),
    "a number as text": at("record_inclusion.index", str),
    "nothing": lambda receipt, _: receipt.clear(),
}


@pytest.mark.parametrize("name", TAMPERINGS)
@pytest.mark.parametrize("whose", ["of_party", "of_staff"])
def test_a_receipt_that_was_tampered_with_is_refused_by_both(given: Given, whose: str, name: str) -> None:
    receipt = copy.deepcopy(getattr(given, whose))
    TAMPERINGS[name](receipt, given)
    assert receipt != getattr(given, whose)
    with pytest.raises(InvalidProofError):
        verified(receipt, given.key, given.held)
    with pytest.raises(REFUSALS):
        STANDALONE["verify"](receipt, given.key, given.held)


def test_a_key_of_which_the_id_does_not_fit_is_refused(given: Given) -> None:
    name, id_, public = given.key.split("+", 2)
    forged = f"{name}+{id_}+{flipped(public, 5)}"
    with pytest.raises(ValueError, match="key"):
        verified(given.of_party, forged, None)
    with pytest.raises(ValueError, match="key"):
        STANDALONE["verify"](given.of_party, forged, None)
