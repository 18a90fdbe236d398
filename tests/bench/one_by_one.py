"""Baseline (i): one Mongo transaction per transfer, as most systems do it, in the fewest round trips."""

from collections.abc import Mapping

from daemons.banking_api.domain.account import AccountStatus
from daemons.banking_api.domain.decision import GroupDecision, LedgerAccount, decide_group
from daemons.banking_api.domain.journal import PostingCommand, is_system_account
from daemons.banking_api.storage.journal_documents import to_document
from daemons.shared.clock import utc_now
from daemons.shared.ids import new_id
from daemons.shared.mongo import Database, Document, Session, transaction_options
from daemons.shared.outbox.store import OutboxStore
from tests.bench.ledger import BenchLedger


class OneByOne:
    """Reads both accounts, lets the same domain decide, and writes the same documents as the engine."""

    def __init__(self, ledger: BenchLedger) -> None:
        self._ledger = ledger

    async def post(self, command: PostingCommand) -> None:
        """Post one command; the driver repeats it for as long as it meets write conflicts."""
        ledger = self._ledger
        ids = [command.from_account, command.to_account]

        async def body(session: Session) -> GroupDecision:
            found = ledger.database["accounts"].find({"_id": {"$in": ids}}, session=session)
            accounts = {document["_id"]: _ledger_account(document) async for document in found}
            decision = decide_one(command, accounts)
            await write_one(ledger.database, ledger.outbox, decision, session)
            return decision

        async with ledger.client.start_session() as session:
            decision = await session.with_transaction(body, **transaction_options())
        ledger.acknowledge(decision.outcomes[0])


def decide_one(command: PostingCommand, accounts: Mapping[str, LedgerAccount]) -> GroupDecision:
    """Let the domain decide one command; the accounts become what it leaves."""
    return decide_group([command], accounts=accounts, stored={}, new_id=new_id, now=utc_now())


async def write_one(
    database: Database, outbox: OutboxStore, decision: GroupDecision, session: Session
) -> None:
    """Write one decided command: both guarded updates in one round trip, its journal document, its event."""
    updates = [
        {
            "q": {"_id": account.id},
            "u": {"$set": {"balance": account.balance_minor, "sequence": account.sequence}},
        }
        for account in decision.changed.values()
    ]
    [transaction] = decision.transactions
    # As the engine does: the driver's bulk API takes twice the time for the same command.
    written = await database.command("update", "accounts", updates=updates, ordered=False, session=session)
    if written["n"] != len(updates):
        raise AssertionError("an account changed within its own transaction")
    await database["journal"].insert_one(to_document(transaction), session=session)
    await outbox.add({"transactions": [transaction.id]}, events=1, session=session)


def _ledger_account(document: Document) -> LedgerAccount:
    return LedgerAccount(
        id=document["_id"],
        owner=document["owner"],
        status=AccountStatus(document["status"]),
        currency=document["currency"],
        balance_minor=document["balance"],
        sequence=document["sequence"],
        may_overdraw=is_system_account(document["_id"]),
    )
