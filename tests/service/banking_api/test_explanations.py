"""How a transaction came about: figures of its moment, its seal, and what each reader sees of it."""

from tests.support.bank import Bank, people


async def test_a_transfer_is_explained_with_the_figures_of_its_moment(bank: Bank) -> None:
    alice, _, operator, sender, receiver = await people(bank, "100.00")
    paid = (await alice.transfer(sender, receiver, "30.00")).json()["id"]
    await alice.transfer(sender, receiver, "20.00")
    shown = (await operator.get(f"/transactions/{paid}/explanation")).json()
    assert shown["initiated_by"] == {"user_id": alice.user_id, "display_name": "Alice"}
    figures = {
        entry["account_id"]: (entry["amount"], entry["balance_before"], entry["balance_after"])
        for entry in shown["entries"]
    }
    assert figures == {sender: ("-30.00", "100.00", "70.00"), receiver: ("30.00", "0.00", "30.00")}
    [check] = shown["checks"]
    assert (check["rule"], check["passed"]) == ("balance", True)
    assert check["finding"] == "100.00 EUR were there, 30.00 asked for"
    document = await bank.ledger["journal"].find_one({"entries.account": receiver, "entries.amount": 3000})
    assert document is not None
    seal = await bank.ledger["journal"].find_one({"_id": document["seal"]})
    assert seal is not None
    assert (shown["seal"]["number"], shown["seal"]["hash"]) == (seal["_id"], seal["hash"].hex())


async def test_a_refusal_is_explained_with_what_was_missing(bank: Bank) -> None:
    alice, _, operator, sender, receiver = await people(bank, "10.00")
    refused = (await alice.transfer(sender, receiver, "30.00")).json()["details"]["transaction_id"]
    for reader in (alice, operator):
        shown = (await reader.get(f"/transactions/{refused}/explanation")).json()
        assert [(check["rule"], check["passed"]) for check in shown["checks"]] == [
            ("balance", False),
            ("insufficient_funds", False),
        ]
        [entry] = shown["entries"]
        assert (entry["balance_before"], entry["balance_after"], entry["sequence"]) == (
            "10.00",
            "10.00",
            None,
        )


async def test_owners_see_their_own_side_and_strangers_nothing(bank: Bank) -> None:
    alice, bob, _, sender, receiver = await people(bank)
    paid = (await alice.transfer(sender, receiver, "30.00")).json()["id"]
    path = f"/transactions/{paid}/explanation"
    for reader, account in ((alice, sender), (bob, receiver)):
        shown = (await reader.get(path)).json()
        assert [entry["account_id"] for entry in shown["entries"]] == [account]
        assert shown["seal"] is not None
    stranger = await bank.person("Mallory")
    assert (await stranger.get(path)).json()["code"] == "transaction_not_found"
