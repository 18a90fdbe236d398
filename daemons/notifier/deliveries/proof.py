"""How the deliveries stand: each is settled or still tried, else it has gone astray."""

from collections.abc import Collection
from dataclasses import dataclass

from daemons.contracts.names import DeliveryState
from daemons.notifier.deliveries.delivery import SETTLED
from daemons.notifier.deliveries.storage import MongoDeliveries


@dataclass(frozen=True, slots=True)
class DeliveriesProof:
    """How many are settled, of these given up, still tried, and neither settled nor tried."""

    settled: int
    given_up: int
    tried: int
    astray: int


class DeliveryProver:
    """Counts deliveries; `channels` are those that somebody sends over."""

    def __init__(self, store: MongoDeliveries, channels: Collection[str]) -> None:
        self._store = store
        self._channels = channels

    async def prove(self) -> DeliveriesProof:
        """Return how the deliveries stand now.

        Raises:
            TransientError: the database does not answer.
        """
        counts = await self._store.counts()
        settled = sum(count for (_, state), count in counts.items() if DeliveryState(state) in SETTLED)
        open_ = {key: count for key, count in counts.items() if DeliveryState(key[1]) not in SETTLED}
        # What a channel owes that is not configured any more is tried by nobody.
        untried = sum(count for (channel, _), count in open_.items() if channel not in self._channels)
        return DeliveriesProof(
            settled=settled,
            given_up=sum(count for (_, state), count in counts.items() if state == DeliveryState.GIVEN_UP),
            tried=sum(open_.values()) - untried,
            astray=untried + await self._store.astray(),
        )
