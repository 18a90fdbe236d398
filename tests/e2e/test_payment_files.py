"""Files of payments at the real bank: nothing is paid twice, however the file or the address is written."""

from pathlib import Path
from urllib.parse import urlsplit

from tests.support.person import Person, funded_account
from tests.support.stack import LocalStack

HEADER = "from,to,amount,currency,reference\n"


async def accounts_of(ann: Person, bob: Person, operator: Person) -> tuple[str, str]:
    return await funded_account(ann, operator, "100"), await bob.open_account()


async def test_a_mended_file_pays_only_what_is_new(
    operator: Person, ann: Person, bob: Person, tmp_path: Path
) -> None:
    sender, receiver = await accounts_of(ann, bob, operator)
    file = tmp_path / "mended.csv"
    rows = [f"{sender},{receiver},{amount},EUR,rent\n" for amount in ("1.00", "2,00", "500.00", "1.00")]
    file.write_text(HEADER + "".join(rows))
    first = await ann.run("transfer", "--file", str(file), "-o", "json", status=6)
    assert first.json["summary"]["paid"] == 2
    rows[1] = rows[1].replace("2,00", "2.00")
    file.write_text(HEADER + "".join(rows) + "\n")
    mended = await ann.run("transfer", "--file", str(file), "-o", "json", status=6)
    summary = mended.json["summary"]
    assert (summary["paid"], summary["skipped"], summary["failed"]) == (1, 2, 1)
    assert "2 of these 4 rows were paid at" in mended.err
    assert await ann.balance(sender) == "96.00"

    # Once the money is there, what failed is paid from its own file, under its next attempt.
    await operator.run("admin", "fund", sender, "500")
    failed = tmp_path / "mended.failed.csv"
    assert failed.read_text() == f"reason_not_paid,{HEADER}" + (
        failed.read_text().splitlines(keepends=True)[1].partition(",")[0] + f",{rows[2]}"
    )
    last = await ann.json("transfer", "--file", str(failed))
    assert (last["summary"]["paid"], last["run"]) == (1, "mended")
    again = await ann.json("transfer", "--file", str(file))
    assert (again["summary"]["skipped"], again["summary"]["paid"]) == (4, 0)
    assert (await ann.balance(sender), await bob.balance(receiver)) == ("96.00", "504.00")
    await operator.run("admin", "prove", "--wait", "60")


async def test_a_rehearsal_tells_what_an_atomic_file_comes_to(
    operator: Person, ann: Person, bob: Person, tmp_path: Path
) -> None:
    sender, receiver = await accounts_of(ann, bob, operator)
    file = tmp_path / "atomic.csv"
    rows = [f"{sender},{receiver},{amount},EUR,rent\n" for amount in ("60.00", "50.00", "40.00")]
    file.write_text(HEADER + "".join(rows))
    rehearsed = await ann.run("transfer", "--file", str(file), "--dry-run", "-o", "json", status=6)
    told = [(row["outcome"], row["to_name"], row["balance_after"]) for row in rehearsed.json["rows"]]
    assert told == [
        ("would_be_paid", "Bob", "40.00"),
        ("would_not_be_paid", "Bob", None),
        ("would_be_paid", "Bob", "0.00"),
    ]
    refused = await ann.run("transfer", "--file", str(file), "--atomic", "-o", "json", status=6)
    codes = [row["problem"]["code"] for row in refused.json["failed_rows"]]
    assert codes == ["atomic_batch_refused", "insufficient_funds", "atomic_batch_refused"]
    assert await ann.balance(sender) == "100.00"

    await operator.run("admin", "fund", sender, "50")
    paid = await ann.json("transfer", "--file", str(file), "--atomic")
    assert paid["summary"]["paid"] == 3
    assert (await ann.balance(sender), await bob.balance(receiver)) == ("0.00", "150.00")


async def test_the_same_bank_by_another_spelling_of_its_address_pays_nothing_twice(
    stack: LocalStack, operator: Person, ann: Person, bob: Person, tmp_path: Path
) -> None:
    sender, receiver = await accounts_of(ann, bob, operator)
    file = tmp_path / "spelt.csv"
    file.write_text(HEADER + f"{sender},{receiver},1.00,EUR,a\n{sender},{receiver},2.00,EUR,b\n")
    assert (await ann.json("transfer", "--file", str(file)))["summary"]["paid"] == 2
    parts = urlsplit(stack.url)
    respelt = f"https://{(parts.hostname or '').upper()}:{parts.port}"
    elsewhere = await stack.at_another_terminal(ann.email)
    for terminal in (ann, elsewhere):
        await terminal.run("config", "set", "url", respelt, "--profile", "bank")
        await terminal.login()
    try:
        here = await ann.json("transfer", "--file", str(file))
        assert (here["summary"]["skipped"], here["summary"]["paid"]) == (2, 0)
        assert await elsewhere.refusal("transfer", "--file", str(file), status=7) == "run_unknown_here"
        there = await elsewhere.json("transfer", "--file", str(file), "--resume")
        assert (there["summary"]["replayed"], there["summary"]["paid"]) == (2, 0)
    finally:
        await ann.run("config", "set", "url", stack.url, "--profile", "bank")
        await ann.login()
    assert (await ann.balance(sender), await bob.balance(receiver)) == ("97.00", "3.00")
