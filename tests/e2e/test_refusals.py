"""What the bank refuses, and how a script can tell: exit statuses, stable codes, lines of a file."""

import csv
from pathlib import Path
from uuid import uuid4

from stdnum import damm

from tests.support.person import PASSWORD, Person, funded_account
from tests.support.stack import LocalStack

# Its check digit is right, and that one account of ten thousand million gets it is not to be expected.
NOBODYS_ACCOUNT = "987654321" + damm.calc_check_digit("987654321")
MISTYPED_ACCOUNT = NOBODYS_ACCOUNT[:-1] + str((int(NOBODYS_ACCOUNT[-1]) + 1) % 10)


async def test_a_broken_row_is_named_by_its_line_and_stops_no_other(
    operator: Person, ann: Person, bob: Person, tmp_path: Path
) -> None:
    account, bobs = await funded_account(ann, operator, "10"), await bob.open_account()
    rows = [
        [account, bobs, "1.00", "EUR", "first"],
        [account, bobs, "12,50", "EUR", "comma"],
        [account, MISTYPED_ACCOUNT, "1.00", "EUR", "slip of the finger"],
        [account, bobs, "1000.00", "EUR", "too much"],
        [account, NOBODYS_ACCOUNT, "1.00", "EUR", "nobody"],
        [account, bobs, "2.00", "EUR", "last"],
    ]
    file = tmp_path / "orders.csv"
    with file.open("w", newline="") as orders:
        csv.writer(orders).writerows([["from", "to", "amount", "currency", "reference"], *rows])

    outcome = await ann.run("transfer", "--file", str(file), "-o", "json", status=6)

    assert outcome.problem["code"] == "rows_not_paid"
    unpaid = [(row["line"], row["result"], row["problem"]["code"]) for row in outcome.json["failed_rows"]]
    assert unpaid == [
        (3, "refused", "invalid_row"),
        (4, "refused", "invalid_row"),
        (5, "failed", "insufficient_funds"),
        (6, "failed", "receiver_not_found"),
    ]
    assert outcome.json["summary"]["paid"] == 2
    assert (await ann.balance(account), await bob.balance(bobs)) == ("7.00", "3.00")


async def test_every_refusal_has_its_exit_status_and_a_stable_code(
    stack: LocalStack, operator: Person, ann: Person, bob: Person
) -> None:
    account, bobs = await funded_account(ann, operator, "1"), await bob.open_account()
    assert await ann.refusal("transfer", account, bobs, "1.005", status=2) in {
        "invalid_amount",
        "invalid_request",
    }
    assert await ann.refusal("no-such-command", status=2) == "usage"
    assert await ann.refusal("accounts", "show", NOBODYS_ACCOUNT, status=3) == "account_not_found"
    assert await ann.refusal("balance", bobs, status=3) == "account_not_found"
    assert await ann.refusal("transfer", account, bobs, "1.01", status=6) == "insufficient_funds"
    assert await ann.refusal("admin", "fund", account, "1", status=5) == "forbidden"
    unfreeze = ("admin", "unfreeze", account, "--reason", "it never was frozen")
    assert await operator.refusal(*unfreeze, status=7) == "account_not_frozen"
    wrong = ("login", "--email", ann.email, "--password-stdin")
    assert await bob.refusal(*wrong, status=4, stdin="not the password\n") == "invalid_credentials"
    key = str(uuid4())
    once = await ann.json("transfer", account, bobs, "0.40", "--idempotency-key", key)
    again = await ann.json("transfer", account, bobs, "0.40", "--idempotency-key", key)
    assert (again["id"], again["replayed"]) == (once["id"], True)
    other = ("transfer", account, bobs, "0.41", "--idempotency-key", key)
    assert await ann.refusal(*other, status=6) == "idempotency_key_reused"
    assert await ann.balance(account) == "0.60"

    nowhere = await stack.visitor("Nobody")
    await nowhere.run("config", "set", "url", "https://localhost:9", "--profile", "bank")
    lost = ("login", "--email", nowhere.email, "--password-stdin")
    assert await nowhere.refusal(*lost, status=8, stdin=f"{PASSWORD}\n") == "unreachable"


async def test_registering_a_taken_address_tells_nothing_and_changes_nothing(
    ann: Person, bob: Person
) -> None:
    taken = ("register", "--email", ann.email, "--name", "Not Ann", "--password-stdin")
    await bob.run(*taken, stdin="another-lantern-99\n")
    login = ("login", "--email", ann.email, "--password-stdin")
    assert await bob.refusal(*login, status=4, stdin="another-lantern-99\n") == "invalid_credentials"
    assert (await ann.json("whoami"))["display_name"] == "Ann"


async def test_what_is_internal_is_not_at_the_gateway(stack: LocalStack, operator: Person) -> None:
    async with await operator.http() as http:
        for path in ("/internal/keys", "/internal/users/1", "/INTERNAL/keys", "/users/../internal/keys"):
            for method in ("GET", "POST"):
                answer = await http.request(method, path)
                assert (answer.status_code, answer.json()["code"]) == (404, "route_not_found"), path
        for path in ("/metrics", "/healthz", "/readyz", "/"):
            assert (await http.get(path)).status_code == 404, path
    assert await operator.refusal("api", "GET", "/internal/keys", status=3) == "route_not_found"
