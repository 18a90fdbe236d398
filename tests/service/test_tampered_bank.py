"""Whatever is changed, added, removed or moved by hand in a database is named by `bankctl admin prove`.

`TAMPERINGS` is the table: `make docs` writes docs/tamperings.md from it.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest
import pytest_asyncio

from tests.support.tampered import EVENTS, LEDGER, TamperedBank, tampered_bank
from tests.support.tamperings import TAMPERINGS, Tampering


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(mongo_uri: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TamperedBank]:
    home: Path = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BANKCTL_HOME", str(home))
        async with tampered_bank(mongo_uri) as bank:
            # Twice, so that there are two checkpoints.
            for proof in (await bank.proof(keep=True), await bank.proof(keep=True)):
                assert [check for check in proof.checks if not check.holds] == []
            bank.names["checkpoint"] = await bank.databases[LEDGER]["checkpoints"].count_documents({})
            yield bank
            proof = await bank.proof()
            assert [check for check in proof.checks if not check.holds] == []


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("tampering", TAMPERINGS, ids=lambda tampering: tampering.name.replace(" ", "-"))
async def test_what_was_changed_by_hand_is_named(whole: TamperedBank, tampering: Tampering) -> None:
    before = await whole.stored()
    try:
        await tampering.act(whole)
        assert await whole.stored() != before
        proof = await whole.proof()
    finally:
        await whole.put_back(before)
    failed = {check.name: check.detail for check in proof.checks if not check.holds}
    assert tampering.check in failed, failed
    findings = [
        failed[tampering.check],
        *(f"{item['id']}: {item['problem']}" for item in proof.ledger["mismatches"]),
        *(f"{item['id']}: {item['problem']}" for item in proof.events["mismatches"]),
        *(f"{item['id']}: {item['problem']}" for item in proof.events["differences"]),
    ]
    named = tampering.named.format(**whole.names)
    assert any(named in finding for finding in findings), (named, findings)


async def failed_checks(bank: TamperedBank, *, full: bool) -> set[str]:
    proof = await bank.proof(full=full)
    [extent] = [check.detail for check in proof.checks if check.name == "extent"]
    assert extent.startswith("all of the journal") is full
    return {check.name for check in proof.checks if not check.holds}


@pytest.mark.asyncio(loop_scope="module")
async def test_a_later_proof_finds_what_is_newer_and_a_full_one_all(whole: TamperedBank) -> None:
    """The events of what is newer are compared too, and the log is read from there on."""
    old, new = whole.names["transfer"], await whole.pay()
    journal, events = whole.databases[LEDGER]["journal"], whole.databases[EVENTS]["events"]
    assert await failed_checks(whole, full=False) == set()
    for id_, found_later in ((old, False), (new, True)):
        paid = await whole.stored()
        await journal.update_one({"_id": UUID(id_)}, {"$set": {"data.reference": "rent"}})
        assert ("balances" in await failed_checks(whole, full=False)) is found_later
        assert "balances" in await failed_checks(whole, full=True)
        await whole.put_back(paid)
        await events.update_one({"id": UUID(id_)}, {"$set": {"data.reference": "rent"}})
        assert ("events received" in await failed_checks(whole, full=False)) is found_later
        assert "events received" in await failed_checks(whole, full=True)
        await whole.put_back(paid)
        await events.delete_one({"id": UUID(id_)})
        assert ("events received" in await failed_checks(whole, full=False)) is found_later
        await whole.put_back(paid)
    paid = await whole.stored()
    await whole.databases[LEDGER]["accounts"].update_one(
        {"_id": whole.names["unused"]}, {"$set": {"status": "active"}}
    )
    assert "balances" in await failed_checks(whole, full=False)
    await whole.put_back(paid)
