"""People who use the bank, each from a terminal of their own."""

import asyncio
import json
import ssl
from pathlib import Path

import httpx

from daemons.contracts.names import SESSION_COOKIE
from tests.support.terminal import Terminal

PASSWORD = "copper-lantern-42"
_HTTP_TIMEOUT_SECONDS = 60


class Person(Terminal):
    """Somebody who is logged in at a terminal of their own."""

    def __init__(self, home: Path, email: str, url: str, ca_file: str) -> None:
        super().__init__(home)
        self.email = email
        self.url = url
        self.ca_file = ca_file

    async def login(self) -> None:
        """Begin a session, as a second terminal of the same person also does."""
        await self.run("login", "--email", self.email, "--password-stdin", stdin=f"{PASSWORD}\n")

    async def open_account(self, currency: str = "EUR") -> str:
        account = await self.json("accounts", "open", "checking", "--currency", currency)
        return str(account["id"])

    async def balance(self, account: str) -> str:
        return str((await self.json("balance", account))["balance"]["amount"])

    def pending_transfers(self) -> list[Path]:
        """Transfers that this terminal has on disk because their outcome is not known yet."""
        return [*(self.home / "state" / "pending").glob("*.json")]

    async def http(self) -> httpx.AsyncClient:
        """A client of the gateway with this person's session, for what is too much for one command each."""
        return gateway_client(self.url, self.ca_file, await self.cookie())

    async def cookie(self) -> str:
        """The session, as this person's terminal keeps it."""
        kept = (await self.json("whoami"))["session_file"]
        return str(json.loads(await asyncio.to_thread(Path(kept).read_text))["cookie"])


def gateway_client(url: str, ca_file: str, cookie: str | None = None) -> httpx.AsyncClient:
    """A client of the gateway that trusts its certificate, with a session if a cookie is given."""
    headers = {"X-Requested-With": "tests"}
    if cookie is not None:
        headers["Cookie"] = f"{SESSION_COOKIE}={cookie}"
    return httpx.AsyncClient(
        base_url=url,
        headers=headers,
        verify=ssl.create_default_context(cafile=ca_file),
        timeout=_HTTP_TIMEOUT_SECONDS,
        trust_env=False,
    )


async def funded_account(owner: Person, operator: Person, amount: str) -> str:
    """A new account of the owner that holds the amount."""
    account = await owner.open_account()
    await operator.run("admin", "fund", account, amount)
    return account
