"""A batch is looked at before it is paid: what is told is what paying does, and nothing is written."""

from typing import Any

from daemons.banking_api.transactions.models import BatchPreviewView
from tests.support.bank import Bank, Person, people

PREVIEW = "/transactions/batch/preview"


def row(sender: str, receiver: str, amount: str, key: str, currency: str = "EUR") -> dict[str, Any]:
    return {
        "from_account": sender,
        "to_account": receiver,
        "amount": amount,
        "currency": currency,
        "reference": None,
        "idempotency_key": key,
    }


async def look_at(
    person: Person, rows: list[dict[str, Any]], carried: dict[str, str] | None = None
) -> dict[str, Any]:
    answer = await person.post(PREVIEW, {"transfers": rows, "carried": carried or {}})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    BatchPreviewView.model_validate(found)
    return found


def told(results: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
    return [(result["outcome"], (result["problem"] or {}).get("code")) for result in results]


async def test_slices_tell_what_the_batch_then_does(bank: Bank, key: str) -> None:
    alice, bob, operator, sender, receiver = await people(bank)
    savings, yen = await alice.open_account(), await alice.open_account("JPY")
    frozen = await bob.open_account()
    await operator.patch(f"/accounts/{frozen}/freeze", {"reason": "court order"})
    rows = [
        row(sender, savings, "60.00", f"{key}-0"),
        row(sender, receiver, "40.01", f"{key}-1"),
        row(savings, receiver, "59.99", f"{key}-2"),
        row(savings, receiver, "0.02", f"{key}-3"),
        row(sender, frozen, "1.00", f"{key}-4"),
        row(receiver, sender, "1.00", f"{key}-5"),
        row(sender, receiver, "-1", f"{key}-6"),
        row(yen, receiver, "1", f"{key}-7", "JPY"),
        row(sender, "1000000005", "1.00", f"{key}-8"),
    ]
    before = await bank.ledger["journal"].count_documents({})

    first = await look_at(alice, rows[:2])
    second = await look_at(alice, rows[2:], first["carried"])
    results = first["results"] + second["results"]

    assert await bank.ledger["journal"].count_documents({}) == before
    assert first["carried"] == {sender: "-60.00", savings: "60.00"}
    assert second["carried"] == {sender: "-60.00", savings: "0.01"}
    assert [result["from"]["balance_after"] for result in results[:3]] == [
        {"amount": "40.00", "currency": "EUR"},
        None,
        {"amount": "0.01", "currency": "EUR"},
    ]
    assert results[0]["to"] == {"account_id": savings, "display_name": "Alice"}
    assert results[4]["to"] == {"account_id": frozen, "display_name": "Bob"}
    assert results[5]["to"] == {"account_id": sender, "display_name": None}
    assert (results[6]["from"], results[6]["to"]) == (None, None)
    paid = (await alice.post("/transactions/batch", {"transfers": rows})).json()["results"]
    assert told(results) == told(paid)
    assert [code for _, code in told(results)] == [
        None,
        "insufficient_funds",
        None,
        "insufficient_funds",
        "account_frozen",
        "account_not_found",
        "invalid_request",
        "currency_mismatch",
        "receiver_not_found",
    ]


async def test_a_row_whose_key_is_known_tells_what_became_of_it_and_when(bank: Bank, key: str) -> None:
    alice, _, _, sender, receiver = await people(bank)
    paid = row(sender, receiver, "30.00", f"{key}-paid")
    poor = row(sender, receiver, "100.00", f"{key}-poor")
    stolen = row(receiver, sender, "1.00", f"{key}-stolen")
    settled = (await alice.post("/transactions/batch", {"transfers": [paid, poor, stolen]})).json()["results"]

    found = await look_at(alice, [paid, poor, stolen, {**paid, "amount": "31.00"}])

    assert found["carried"] == {}
    assert [(result["outcome"], result["replayed"]) for result in found["results"]] == [
        ("completed", True),
        ("failed", True),
        ("failed", True),
        ("refused", False),
    ]
    for result, kept in zip(found["results"], settled, strict=False):
        assert result["transaction_id"] == kept["transaction_id"]
        assert result["settled_at"] == kept["transaction"]["created_at"]
        assert result["from"]["balance_after"] is None
    assert found["results"][1]["problem"]["code"] == "insufficient_funds"
    assert found["results"][2]["to"] == {"account_id": sender, "display_name": None}
    assert found["results"][3]["problem"]["code"] == "idempotency_key_reused"


async def test_what_is_carried_is_of_the_caller_s_own_accounts_only(bank: Bank, key: str) -> None:
    alice, _, _, sender, receiver = await people(bank)
    rows = [row(sender, receiver, "1.00", key)]
    # An account of somebody else's and one that does not exist look the same.
    for foreign in (receiver, "1000000005"):
        refused = await alice.post(PREVIEW, {"transfers": rows, "carried": {foreign: "-1.00"}})
        assert (refused.status_code, refused.json()["errors"]) == (
            422,
            [{"field": f"carried.{foreign}", "message": "is no account of yours"}],
        )
    # With money that is not there anybody's balance could be found by trying.
    refused = await alice.post(PREVIEW, {"transfers": rows, "carried": {sender: "92233720368547758.07"}})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "carried")
    late = await alice.post(PREVIEW, {"transfers": rows, "carried": {sender: "-100.01"}})
    assert (late.status_code, late.json()["code"]) == (409, "preview_out_of_date")


async def test_rows_that_would_be_refused_in_a_batch_are_refused_here(bank: Bank, key: str) -> None:
    alice, _, _, sender, receiver = await people(bank)
    rows = [row(sender, receiver, "1.00", key), row(sender, receiver, "1.00", key)]
    expected = [("completed", None), ("refused", "idempotency_key_in_use")]
    assert told((await look_at(alice, rows))["results"]) == expected
    paid = (await alice.post("/transactions/batch", {"transfers": rows})).json()["results"]
    assert told(paid) == expected
