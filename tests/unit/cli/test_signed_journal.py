"""admin prove keeps the journal's end that the bank signs, and finds a bank whose journal was rewritten."""

from base64 import b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from daemons.contracts.checkpoint import Checkpoint, CheckpointKey, signed
from daemons.contracts.merkle import consistency_ranges, leaf_hash, root_of
from tests.unit.cli.conftest import Cli
from tests.unit.cli.played_bank import NOW, Bank, event_set

ORIGIN = "bankctl/01890a5d-ac96-774b-bcce-b302099a8057"
FIRST, SECOND = (Ed25519PrivateKey.from_private_bytes(bytes([seed] * 32)) for seed in (1, 2))
JOURNAL = [leaf_hash(str(number).encode()) for number in range(40)]
REWRITTEN = [leaf_hash(b"rewritten"), *JOURNAL[1:]]


def key_of(private: Ed25519PrivateKey, origin: str = ORIGIN) -> CheckpointKey:
    return CheckpointKey(origin, private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


def sign(
    bank: Bank,
    size: int,
    *,
    since: int = 0,
    journal: list[bytes] = JOURNAL,
    private: Ed25519PrivateKey = FIRST,
    origin: str = ORIGIN,
    earlier: tuple[Ed25519PrivateKey, ...] = (),
) -> None:
    """Let the bank sign a journal at its next proof, and prove that it goes on from a size before."""
    checkpoint = Checkpoint(origin, size, root_of(journal[:size]), size, NOW, b"s" * 32)
    note = signed(checkpoint, key_of(private, origin), private.sign)
    bank.checkpoint = {"number": 1, "size": size, "made_at": NOW, "proved": True, "note": note}
    bank.checkpoint_keys = [key_of(one, origin).text() for one in (private, *earlier)]
    path = [root_of(journal[start:end]) for start, end in consistency_ranges(since, size)]
    bank.consistency = {"older": since, "newer": size, "path": [b64encode(node).decode() for node in path]}


@pytest.fixture
def proven(bank: Bank) -> Bank:
    same = event_set()
    bank.event_proofs = [{"events": same, "notifications": same}]
    return bank


def result(cli: Cli, *arguments: str) -> tuple[int, str, str]:
    outcome = cli("admin", "prove", "--wait", "0", *arguments, "-o", "json")
    [check] = [check for check in outcome.json["checks"] if check["name"] == "signed journal"]
    return outcome.status, check["result"], check["detail"]


def test_a_journal_that_grows_is_followed(ann: Cli, proven: Bank) -> None:
    sign(proven, 10)
    assert result(ann) == (0, "ok", "10 seals, no earlier end is kept here")
    sign(proven, 27, since=10)
    assert result(ann) == (0, "ok", "27 seals, goes on from 10")
    sign(proven, 27)
    assert result(ann) == (0, "ok", "27 seals, goes on from 27")


def test_a_journal_that_was_rewritten_is_found_and_the_end_is_kept(ann: Cli, proven: Bank) -> None:
    sign(proven, 10)
    assert result(ann)[0] == 0
    sign(proven, 27, since=10, journal=REWRITTEN)
    status, found, detail = result(ann)
    assert (status, found) == (1, "FAILED")
    assert "rewritten between 10 and 27 seals" in detail
    sign(proven, 10, journal=REWRITTEN)
    assert result(ann)[1] == "FAILED"
    sign(proven, 9)
    assert result(ann) == (1, "FAILED", "9 seals; 10 were proven here")
    sign(proven, 27, since=10)
    assert result(ann)[0] == 0


def test_a_bank_that_was_started_anew_is_forgotten_on_request_only(ann: Cli, proven: Bank) -> None:
    sign(proven, 10)
    assert result(ann)[0] == 0
    another = "bankctl/01890a5d-ac96-774b-bcce-b302099a8058"
    sign(proven, 20, journal=REWRITTEN, origin=another, private=SECOND)
    assert result(ann)[1] == "FAILED"
    assert result(ann, "--forget")[:2] == (0, "ok")
    assert result(ann)[:2] == (0, "ok")


def test_a_new_key_is_taken_where_the_bank_still_publishes_the_one_that_is_known(
    ann: Cli, proven: Bank
) -> None:
    sign(proven, 10)
    assert result(ann)[0] == 0
    sign(proven, 20, since=10, private=SECOND)
    status, found, detail = result(ann)
    assert (status, found) == (1, "FAILED")
    assert "none of the known keys has signed it" in detail
    sign(proven, 20, since=10, private=SECOND, earlier=(FIRST,))
    assert result(ann)[:2] == (0, "ok")
    sign(proven, 30, since=20, private=SECOND)
    assert result(ann)[:2] == (0, "ok")


def test_a_checkpoint_that_the_bank_has_no_longer_is_missed(ann: Cli, proven: Bank) -> None:
    sign(proven, 10)
    assert result(ann)[0] == 0
    proven.stored_checkpoints.clear()
    sign(proven, 27, since=10)
    missed = "the bank no longer has the checkpoint of 10 seals kept here"
    assert result(ann) == (1, "FAILED", missed)


def test_a_later_proof_goes_on_from_the_last_one_here(ann: Cli, proven: Bank) -> None:
    sign(proven, 10)
    proven.goes_on_after = 41
    assert result(ann)[0] == 0
    sign(proven, 27, since=10)
    outcome = ann("admin", "prove", "-o", "json")
    assert (outcome.status, outcome.json["ledger"]["since"]["size"]) == (0, 10)
    extent = outcome.json["checks"][0]
    assert extent["name"] == "extent"
    assert "since checkpoint 1 (10 seals" in extent["detail"]
    assert "--full" in extent["detail"]
    sign(proven, 30, since=27)
    assert ann("admin", "prove", "--full").status == 0
    assert [request.body for request in proven.sent("/ledger/proof")] == [
        {"since": None},
        {"since": 10},
        {"since": None},
    ]
    first, second, third = (request.query for request in proven.sent("/events/proof"))
    assert second == {"since": NOW, "until": NOW, "after": "41"}
    assert first == third == {"until": NOW}


def test_a_proof_that_fails_is_not_gone_on_from(ann: Cli, proven: Bank) -> None:
    """What was missing at the notifier is looked for again, though the books held and were signed."""
    sign(proven, 10)
    assert result(ann)[0] == 0
    sign(proven, 27, since=10)
    proven.event_proofs = [{"events": event_set(1, "cd"), "notifications": event_set()}]
    assert result(ann)[0] == 1
    sign(proven, 30, since=27)
    assert result(ann)[0] == 1
    assert [request.body["since"] for request in proven.sent("/ledger/proof") if request.body] == [
        None,
        10,
        10,
    ]


def test_where_the_bank_cannot_go_on_all_events_are_compared(ann: Cli, proven: Bank) -> None:
    sign(proven, 10)
    assert result(ann)[0] == 0
    sign(proven, 27, since=10)
    # It still has the checkpoint, and not what was kept with it.
    proven.goes_on = False
    outcome = ann("admin", "prove", "-o", "json")
    assert outcome.json["checks"][0]["detail"] == "all of the journal and of the events"
    assert proven.sent("/events/proof")[-1].query == {"until": NOW}
