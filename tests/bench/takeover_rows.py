"""How long nobody pays when the ledger's process is killed under load."""

import asyncio

from daemons.banking_api.ledger.journal import Journal
from daemons.shared.lease import LEASE_SECONDS
from tests.bench.figures import Figure, at_most
from tests.bench.http_bank import HttpBank
from tests.bench.samples import spread_of
from tests.bench.workbench import Workbench
from tests.support.waiting import eventually

_CONNECTIONS = 16
_SECONDS = 2 * LEASE_SECONDS + 1


async def takeover(bench: Workbench) -> list[Figure]:
    """Kill the ledger while people pay through two fronts of it: the longest that a payment took.

    No payment fails: a front keeps what has no answer and sends it to the next ledger.
    """
    bank = await bench.http_bank()
    longest = [await _killed(bench, bank) for _ in range(bench.options.rounds)]
    await bank.ledger.prove()
    return [
        Figure(
            row="takeover",
            title="kill -9 of the ledger under load, three processes: the longest payment",
            value=spread_of(longest),
            unit="s",
            bound=at_most(LEASE_SECONDS + 1),
            made_of=f"{LEASE_SECONDS:g} s of them the lease; {_CONNECTIONS} connections to two fronts",
            data={"longest_seconds": longest},
        )
    ]


async def _killed(bench: Workbench, bank: HttpBank) -> float:
    await bench.checkpoint()
    journal = Journal(bank.ledger.database)
    # The first one becomes the ledger, and ends here whether it was killed or not.
    with bank.daemon() as ledger, bank.daemon() as one, bank.daemon() as other:
        paying = asyncio.create_task(bank.load(one, other, connections=_CONNECTIONS, seconds=_SECONDS))
        before = await journal.head()

        async def somebody_pays() -> bool:
            return await journal.head() != before

        await eventually(somebody_pays)
        ledger.process.kill()
        return max((await paying).latencies_seconds)
