"""Baseline (iii): banking_api with a pipeline that answers at once, `python -m tests.bench.standin`.

Everything else is the product's own: the same middleware, sign-in, parsing, services and view. Only the
pipeline is replaced, so the route touches no database.
"""

import asyncio

from daemons.banking_api import app as banking_app
from daemons.banking_api.kinds.transfer import Transfer
from daemons.banking_api.ledger.account import Entry
from daemons.banking_api.ledger.batches import Batch
from daemons.banking_api.ledger.pipeline import Pipeline
from daemons.banking_api.ledger.record import Command, Outcome, Record
from daemons.banking_api.settings import BankingSettings
from daemons.shared.clock import utc_now
from daemons.shared.http.server import serve
from daemons.shared.logs import configure_logs
from daemons.shared.settings import load_settings


class StandInPipeline(Pipeline):
    """Tells every transfer that it was completed; nothing is kept."""

    def enqueue(self, command: Command, batch: Batch | None = None) -> asyncio.Future[Outcome]:
        """Have the answer already, with a record as the real pipeline's."""
        assert isinstance(command, Transfer)
        amount, owner = command.amount_minor, command.initiator
        entries = (
            Entry(command.from_account, owner, -amount, 0, 1),
            Entry(command.to_account, owner, amount, amount, 1),
        )
        record = Record(
            command.id,
            command.kind,
            owner,
            command.idempotency_id,
            command.fingerprint,
            utc_now(),
            entries,
            command.data({}),
        )
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        answer.set_result(Outcome(record))
        return answer


def main() -> None:
    """Serve as banking_api does."""
    vars(banking_app)["Pipeline"] = StandInPipeline
    settings = load_settings(BankingSettings)
    configure_logs("banking_api", level=settings.log_level, form=settings.log_format)
    serve(banking_app.build(settings), settings)


if __name__ == "__main__":
    main()
