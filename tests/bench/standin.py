"""Baseline (iii): banking_api with an engine that answers at once, `python -m tests.bench.standin`.

Everything else is the product's own: the same middleware, sign-in, parsing, services and view. Only the
engine is replaced, so the route touches no database.
"""

import asyncio

from daemons.banking_api.domain.decision import Outcome
from daemons.banking_api.domain.journal import Entry, JournalTransaction, PostingCommand
from daemons.banking_api.services.commit_engine import CommitEngine

from daemons.banking_api import app as banking_app
from daemons.banking_api.settings import BankingSettings
from daemons.shared.clock import utc_now
from daemons.shared.http.server import serve
from daemons.shared.ids import new_id
from daemons.shared.logs import configure_logs
from daemons.shared.settings import load_settings


class StandInEngine(CommitEngine):
    """Tells every command that it was completed; nothing is kept."""

    def start(self) -> None:
        """Have nothing to start."""

    async def close(self) -> None:
        """Have nothing to settle."""

    def enqueue(self, command: PostingCommand) -> asyncio.Future[Outcome]:
        """Have the answer already."""
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        answer.set_result(self._outcome(command))
        return answer

    async def post(self, command: PostingCommand) -> Outcome:
        """Answer at once with a transaction as the real engine's."""
        return self._outcome(command)

    def _outcome(self, command: PostingCommand) -> Outcome:
        amount = command.amount_minor
        transaction = JournalTransaction(
            id=new_id(),
            kind=command.kind,
            initiator=command.initiator,
            idempotency_id=b"",
            fingerprint=b"",
            from_account=command.from_account,
            to_account=command.to_account,
            from_owner=command.sender_owner,
            to_owner=command.sender_owner,
            amount_minor=amount,
            currency=command.currency,
            reference=command.reference,
            entries=(
                Entry(command.from_account, -amount, 0, 1),
                Entry(command.to_account, amount, amount, 1),
            ),
            failure=None,
            created_at=utc_now(),
        )
        return Outcome(transaction)


def main() -> None:
    """Serve as banking_api does."""
    vars(banking_app)["CommitEngine"] = StandInEngine
    settings = load_settings(BankingSettings)
    configure_logs("banking_api", level=settings.log_level, form=settings.log_format)
    serve(banking_app.build(settings), settings)


if __name__ == "__main__":
    main()
