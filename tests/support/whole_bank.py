"""All three real daemons in this process over a real MongoDB, without Kafka, which no route needs."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from aiohttp.test_utils import TestServer

from daemons.notifier.app import build_notifier
from daemons.notifier.settings import NotifierSettings
from daemons.shared.mongo import Database
from tests.support.bank import CLOSED_PORT, Bank, running_bank, secret_of


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


@asynccontextmanager
async def running_whole_bank(mongo_uri: str) -> AsyncIterator[WholeBank]:
    """Run the daemons on databases of their own."""
    async with AsyncExitStack() as stack:
        bank = await stack.enter_async_context(running_bank(mongo_uri, kafka_broker=CLOSED_PORT))
        secret = secret_of(bank.suffix)
        notifier = build_notifier(
            NotifierSettings(
                mongo_uri=mongo_uri,
                mongo_database=f"notifier_{bank.suffix}",
                jwt_secret=secret,  # type: ignore[arg-type]  # pydantic makes the secret of it
                kafka_broker=CLOSED_PORT,
                user_api_url=bank.user_api,  # type: ignore[arg-type]  # and the URL
                port=1,
            )
        )
        server = await stack.enter_async_context(TestServer(notifier, host="127.0.0.1"))
        origins = {
            "user_api": bank.user_api,
            "banking_api": bank.banking_api,
            "notifier": f"http://127.0.0.1:{server.port}",
        }
        yield WholeBank(bank, origins, secret)
