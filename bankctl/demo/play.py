"""The play: two users and two operators, payments that succeed and are refused, and the proof."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from bankctl.demo.stage import WHY, Follower, Narrator, Person, Ran
from bankctl.errors import ExitStatus


@dataclass
class Verdicts:
    """What was expected and whether it came true."""

    narrator: Narrator
    held: int = 0
    broken: list[str] = field(default_factory=list)

    def expect(self, what: str, came_true: bool) -> None:
        """Remember and show one expectation."""
        if came_true:
            self.held += 1
            self.narrator.say(f"✓ {what}", "green", indent=2)
        else:
            self.broken.append(what)
            self.narrator.say(f"✗ {what}", "red", indent=2)


@dataclass
class Play:
    """The people and what is to happen."""

    alice: Person
    bob: Person
    olga: Person
    oscar: Person
    narrator: Narrator
    verdicts: Verdicts

    def perform(self) -> None:
        """Play all scenes in order."""
        self._sign_in()
        follower = self.olga.follow_events(self._last_position())
        try:
            alices, bobs = self._open_and_fund(follower)
            self._pay(follower, alices, bobs)
            self._withdraw_and_reverse(follower, bobs)
            self._lack_funds(follower, alices, bobs)
            self._freeze(follower, alices, bobs)
            self._try_to_steal(follower, alices, bobs)
        finally:
            follower.stop()
        self._prove(alices, bobs)

    def _sign_in(self) -> None:
        self._scene("Two users register and log in, and so do the operators, created in the server's shell")
        for person in (self.alice, self.bob):
            person.password = secrets.token_urlsafe(12)
            named = ("--email", person.email, "--name", person.name, "--password-stdin")
            ran = person.run("register", *named, typed=person.password)
            self._expect(ran, f"{person.name} registers")
        for person in (self.alice, self.bob, self.olga, self.oscar):
            ran = person.run("login", "--email", person.email, "--password-stdin", typed=person.password)
            self._expect(ran, f"{person.name} is logged in")

    def _last_position(self) -> int:
        newest = self.olga.ask("events", "history", "--limit", "1", *WHY)
        return int(newest[0]["position"]) if newest else 0

    def _open_and_fund(self, follower: Follower) -> tuple[str, str]:
        self._scene("Accounts are opened, and the operator books money that came in from outside")
        numbers = []
        for person in (self.alice, self.bob):
            ran = person.run("accounts", "open", "checking", "--currency", "EUR")
            self._expect(ran, f"{person.name}'s account is open")
            [account] = person.ask("accounts", "list")
            numbers.append(str(account["id"]))
        slip = ("--reference", "Opening deposit", "--reason", "Deposit slip")
        funding = ("admin", "fund", numbers[0], "1000.00", *slip, "--yes")
        self._show(follower, self.olga, funding, ["AccountFundedPayload", "1000.00 EUR", numbers[0]])
        return numbers[0], numbers[1]

    def _pay(self, follower: Follower, alices: str, bobs: str) -> None:
        self._scene("A payment succeeds, and sending it again with the same key pays nothing twice")
        key = f"demo-{secrets.token_hex(8)}"
        arguments = (
            "transfer",
            alices,
            bobs,
            "250.00",
            "--reference",
            "Rent",
            "--idempotency-key",
            key,
            "--yes",
        )
        self._show(follower, self.alice, arguments, ["TransactionCompleted", "250.00 EUR", "Alice", "Bob"])
        self._expect(self.alice.run(*arguments), "the same command again returns the first answer")
        self._expect_balance(self.alice, alices, "750.00")
        self._expect_balance(self.bob, bobs, "250.00")

    def _withdraw_and_reverse(self, follower: Follower, bobs: str) -> None:
        self._scene("Money leaves the bank for an account elsewhere, and two operators take that back")
        elsewhere = ("--to", "DE89370400440532013000", "--name", "Zoe Lang")
        withdrawing = ("withdraw", "50.00", *elsewhere, "--reference", "Invoice 7", "--yes")
        self._show(follower, self.bob, withdrawing, ["TransactionCompleted", "50.00 EUR", "Bob"])
        self._expect_balance(self.bob, bobs, "200.00")
        [withdrawal] = self.bob.ask("transactions", "list", "--limit", "1")
        asked = self.olga.run("admin", "reverse", withdrawal["id"], "--reason", "Paid twice", "--yes")
        self._expect(asked, "the reversal waits for a second person")
        self._show(follower, self.oscar, self._approval(), ["TransactionCompleted", "50.00 EUR", "Bob"])
        self._expect_balance(self.bob, bobs, "250.00")

    def _approval(self) -> tuple[str, ...]:
        """What approves the newest request."""
        [request] = self.oscar.ask("admin", "approvals", "list", "--status", "pending", "--limit", "1")
        return ("admin", "approvals", "approve", request["id"], "--yes")

    def _lack_funds(self, follower: Follower, alices: str, bobs: str) -> None:
        self._scene("A payment fails for lack of funds")
        arguments = ("transfer", alices, bobs, "5000.00", "--reference", "Too much", "--yes")
        self._show(
            follower,
            self.alice,
            arguments,
            ["TransactionFailed", "5000.00 EUR"],
            status=ExitStatus.REJECTED,
        )
        self._expect_balance(self.alice, alices, "750.00")

    def _freeze(self, follower: Follower, alices: str, bobs: str) -> None:
        self._scene("The operator freezes an account, and a payment to it is refused")
        freezing = ("admin", "freeze", bobs, "--reason", "Card reported stolen")
        self._show(follower, self.olga, freezing, ["AccountChanged", "frozen", bobs])
        self._show(
            follower,
            self.alice,
            ("transfer", alices, bobs, "10.00", "--yes"),
            ["TransactionFailed", "10.00 EUR", "is frozen"],
            status=ExitStatus.REJECTED,
        )
        self._scene("One operator asks to unfreeze the account, and another approves")
        asked = self.olga.run("admin", "unfreeze", bobs, "--reason", "Card replaced")
        self._expect(asked, "the request waits for a second person")
        approving = self._approval()
        own = self.olga.run(*approving)
        self._expect(own, "nobody approves their own request", ExitStatus.FORBIDDEN)
        self._show(follower, self.oscar, approving, ["AccountChanged", "unfrozen", bobs])

    def _try_to_steal(self, follower: Follower, alices: str, bobs: str) -> None:
        self._scene("Nobody pays from somebody else's account, or reads the staff's stream")
        self._show(
            follower,
            self.bob,
            ("transfer", alices, bobs, "1.00", "--currency", "EUR", "--yes"),
            ["TransactionFailed", "1.00 EUR"],
            status=ExitStatus.NOT_FOUND,
        )
        ran = self.bob.run("events", "tail", "--count", "1")
        self._expect(ran, "the stream is refused", ExitStatus.FORBIDDEN)

    def _prove(self, alices: str, bobs: str) -> None:
        self._scene("The books are proved")
        self._expect_balance(self.alice, alices, "750.00")
        self._expect_balance(self.bob, bobs, "250.00")
        self._expect(self.alice.run("accounts", "statement", alices), "Alice reads her statement")
        proof = self.olga.run("admin", "prove")
        self._expect(proof, "sum zero; balances equal their entries; one event and one notification each")

    def _scene(self, title: str) -> None:
        self.narrator.say(f"\n── {title}", "dim")

    def _expect(self, ran: Ran, what: str, status: ExitStatus = ExitStatus.OK) -> None:
        self.verdicts.expect(f"{what} (exit {ran.status})", ran.status == status)

    def _expect_balance(self, person: Person, account: str, amount: str) -> None:
        found = person.ask("balance", account)["balance"]["amount"]
        self.verdicts.expect(f"{person.name}'s account holds {found} EUR", found == amount)

    def _show(
        self,
        follower: Follower,
        person: Person,
        arguments: Sequence[str],
        event: Sequence[str],
        *,
        status: ExitStatus = ExitStatus.OK,
    ) -> None:
        """Run a command and wait until the operator's tail has shown its event."""
        seen = len(follower.lines)
        ran = person.run(*arguments)
        came = follower.saw(event, since=seen)
        self.verdicts.expect(f"exit {ran.status}, as it should be", ran.status == status)
        self.verdicts.expect(f"{event[0]} came through Kafka to the tail", came)
