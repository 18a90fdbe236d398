"""A payment that needs the second factor, from the code in the app to the ledger: everything real."""

import pyotp

from daemons.shared.clock import utc_now
from tests.support.person import PASSWORD, Person, funded_account
from tests.support.stack import UNCONFIRMED, LocalStack

STEP_SECONDS = 30


async def test_a_large_payment_is_made_with_a_code_and_not_without(
    stack: LocalStack, operator: Person, bob: Person
) -> None:
    rich = await stack.register("Rich")
    account, bobs = await funded_account(rich, operator, str(3 * UNCONFIRMED)), await bob.open_account()
    large = ("transfer", account, bobs, f"{UNCONFIRMED}.01")
    assert await rich.refusal(*large, status=7) == "totp_not_active"
    begun = await rich.json("auth", "totp", "enroll", "--password-stdin", stdin=f"{PASSWORD}\n")
    app = pyotp.TOTP(begun["secret"])
    now = int(utc_now().timestamp())
    await rich.run("auth", "totp", "confirm", "--code-stdin", stdin=f"{app.at(now - STEP_SECONDS)}\n")
    assert await rich.refusal(*large, status=2) == "code_needed"
    assert await rich.balance(account) == f"{3 * UNCONFIRMED}.00"
    assert rich.pending_transfers() == []

    code = app.now()
    paid = await rich.json(*large, "--code-stdin", stdin=f"{code}\n")
    assert (paid["status"], paid["replayed"]) == ("completed", False)
    assert await bob.balance(bobs) == f"{UNCONFIRMED}.01"
    # The same code is good for nothing else.
    assert await rich.refusal(*large, "--code-stdin", status=4, stdin=f"{code}\n") == "invalid_totp"
    # What needs no code is paid as ever, and the books hold.
    await rich.run("transfer", account, bobs, "1.00")
    await operator.run("admin", "prove")
