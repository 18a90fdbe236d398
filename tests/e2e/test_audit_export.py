"""An export of more records than a page holds, from the real bank to the auditor's machine and back."""

import asyncio
import json
import uuid

from tests.support.person import Person
from tests.support.stack import LocalStack

ACTS = 520
AT_ONCE = 26


async def test_a_long_trail_is_exported_whole_and_the_file_is_verified(
    stack: LocalStack, operator: Person, support: Person
) -> None:
    ann = await stack.register("Ann")
    account = await ann.open_account()
    async with await operator.http() as http:

        async def fund(times: int) -> set[int]:
            body = {"amount": "1.00", "currency": "EUR"}
            return {
                (
                    await http.post(
                        f"/accounts/{account}/fund", json=body, headers={"Idempotency-Key": str(uuid.uuid4())}
                    )
                ).status_code
                for _ in range(times)
            }

        answered = await asyncio.gather(*(fund(ACTS // AT_ONCE) for _ in range(AT_ONCE)))
    assert set().union(*answered) == {201}
    assert await ann.refusal("admin", "audit", "list", status=5) == "forbidden"
    assert await ann.refusal("admin", "dead-letters", "list", status=5) == "forbidden"

    exported = (await support.run("admin", "audit", "export")).out
    *records, last = [json.loads(line) for line in exported.splitlines()]
    for trail in ("ledger", "users", "events"):
        numbers = [record["seq"] for record in records if record["trail"] == trail]
        assert numbers == list(range(1, last["heads"][trail]["count"] + 1))
    told_by = {record["trail"] for record in records if record["action"] == "access.refused"}
    assert {"ledger", "events"} <= told_by
    funded = [record for record in records if record["target"]["id"] == account]
    assert [record["action"] for record in funded] == ["fund"] * ACTS
    actions = {record["action"] for record in records}
    assert {"register", "sign_in", "create_user", "access.refused"} <= actions

    listed = await support.json("admin", "audit", "list", "--target", account, "--action", "fund", "--all")
    assert [record["seq"] for record in listed] == [record["seq"] for record in reversed(funded)]
    since = funded[-1]["at"]
    late = await support.json("admin", "audit", "list", "--trail", "ledger", "--since", since, "--all")
    assert {record["at"] >= since for record in late} == {True}
    assert len(late) < ACTS

    file = support.home / "audit.jsonl"
    await asyncio.to_thread(file.write_text, exported)
    whole = await support.json("admin", "audit", "verify", "--file", str(file))
    assert whole["heads"] == last["heads"]
    compared = await support.json("admin", "audit", "verify", "--anchor", str(file))
    assert [trail["anchored"] for trail in compared["trails"]] == [True, True, True]

    changed = exported.replace('"amount": "1.00"', '"amount": "1.01"', 1)
    assert changed != exported
    await asyncio.to_thread(file.write_text, changed)
    assert await support.refusal("admin", "audit", "verify", "--file", str(file), status=1) == "audit_broken"
