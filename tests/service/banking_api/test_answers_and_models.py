"""Answers that are written without building their models look like the models that the routes declare."""

from typing import Any

from pydantic import BaseModel

from daemons.banking_api.transactions.models import BatchResults, TransactionView
from tests.support.bank import Bank, people


def assert_is(document: dict[str, Any], model: type[BaseModel]) -> None:
    """Hold a document to its model: every field, no other, and the same text when the model is written."""
    assert model.model_validate(document).model_dump(mode="json", by_alias=True) == document


async def test_a_transfer_is_answered_as_declared(bank: Bank) -> None:
    alice, _, operator, sender, receiver = await people(bank)
    done = (await alice.transfer(sender, receiver, "1.00")).json()
    assert_is(done, TransactionView)
    funded = (await operator.fund(receiver, "2.00")).json()
    assert_is(funded, TransactionView)


async def test_a_batch_is_answered_as_declared(bank: Bank, key: str) -> None:
    alice, _, _, sender, receiver = await people(bank)
    row = {"from_account": sender, "to_account": receiver, "currency": "EUR", "reference": None}
    rows = [
        {**row, "idempotency_key": f"{key}-paid", "amount": "1.00"},
        {**row, "idempotency_key": f"{key}-poor", "amount": "1000000.00"},
        {**row, "idempotency_key": f"{key}-odd", "amount": "-1"},
        {**row, "idempotency_key": f"{key}-paid", "amount": "2.00"},
    ]
    whole = await alice.post("/transactions/batch", {"transfers": rows})
    outcomes = [result["outcome"] for result in whole.json()["results"]]
    assert outcomes == ["completed", "failed", "refused", "refused"]
    assert_is(whole.json(), BatchResults)
    assert "Preference-Applied" not in whole.headers

    less = await alice.call("POST", "/transactions/batch", {"transfers": rows}, Prefer="return=minimal")
    assert less.headers["Preference-Applied"] == "return=minimal"
    assert_is(less.json(), BatchResults)
    for told, first in zip(less.json()["results"], whole.json()["results"], strict=True):
        assert (told["outcome"], told["transaction"]) == (first["outcome"], None)
        assert told["transaction_id"] == (first["transaction"] or {}).get("id")
