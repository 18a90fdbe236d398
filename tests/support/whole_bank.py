"""All three real daemons in this process over a real MongoDB, without Kafka, which no route needs."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp.test_utils import TestServer

from daemons.notifier import app as notifier_app
from daemons.notifier.settings import NotifierSettings
from daemons.shared.approvals.policy import LIFTED
from daemons.shared.mongo import Database
from tests.support.bank import CLOSED_PORT, Bank, running_bank, secret_of
from tests.support.daemon_keys import PRIVATE_KEYS, PUBLIC_KEYS


@dataclass(frozen=True)
class WholeBank:
    """The daemons' origins by name, and what stands behind them."""

    bank: Bank
    origins: dict[str, str]
    secret: str

    @property
    def ledger(self) -> Database:
        """The database that must not change."""
        return self.bank.ledger

    @property
    def events(self) -> Database:
        """The notifier's database."""
        return self.bank.client[f"notifier_{self.bank.suffix}"]


UNLIMITED: Mapping[str, Any] = {
    "caller_requests_per_second": 0,
    "caller_rows_per_second": 0,
    "address_requests_per_second": 0,
    "account_free_failures": 1_000_000,
    "address_free_failures": 1_000_000,
    "address_free_sign_ups": 1_000_000,
}
"""Settings for those who send more than any caller would, and whom no limit is to keep from the rest."""


@asynccontextmanager
async def running_whole_bank(
    mongo_uri: str, limits: Mapping[str, Any] | None = None, *, banking: Mapping[str, Any] | None = None
) -> AsyncIterator[WholeBank]:
    """Run the daemons on databases of their own; `banking` is for banking_api alone."""
    limits = limits or {}
    async with AsyncExitStack() as stack:
        bank = await stack.enter_async_context(
            running_bank(
                mongo_uri, kafka_broker=CLOSED_PORT, banking={**limits, **(banking or {})}, users=limits
            )
        )
        notifier = notifier_app.build(
            NotifierSettings(
                mongo_uri=mongo_uri,
                mongo_database=f"notifier_{bank.suffix}",
                service_key=PRIVATE_KEYS["notifier"],  # type: ignore[arg-type]  # pydantic makes the secret of it
                user_api_public_keys=PUBLIC_KEYS["user_api_public_keys"],
                # Messages are taken and wait: no relay is there.
                smtp_host="127.0.0.1",
                smtp_port=9,
                kafka_broker=CLOSED_PORT,
                user_api_url=bank.user_api,  # type: ignore[arg-type]  # and the URL
                port=1,
                **{"staff_policy": LIFTED, **limits},
            )
        )
        server = await stack.enter_async_context(TestServer(notifier, host="127.0.0.1"))
        origins = {
            "user_api": bank.user_api,
            "banking_api": bank.banking_api,
            "notifier": f"http://127.0.0.1:{server.port}",
        }
        yield WholeBank(bank, origins, secret_of(bank.suffix))
