"""Baseline (i): one Mongo transaction per transfer, as most systems do it, in the fewest round trips."""

from collections.abc import Mapping

from daemons.banking_api.domain.account import AccountStatus
from daemons.banking_api.domain.decision import GroupDecision, LedgerAccount, decide_group
from daemons.banking_api.domain.journal import PostingCommand, is_system_account
from daemons.banking_api.storage.journal_documents import to_document

from daemons.shared.clock import utc_now
from daemons.shared.ids import new_id
from daemons.shared.mongo import Database, Document, Session, insert_all, transaction_options
from daemons.shared.outbox.store import OutboxStore
from tests.bench.ledger import BenchLedger


class OneByOne:
    """Reads both accounts, lets the same domain decide, writes both balances and the engine's documents.

    Its ledger is its own: it takes the balances it reads for the truth, as the engine does not.
    """

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
            await _write_accounts(ledger.database, decision, session)
            await _write_transaction(ledger.database, ledger.outbox, decision, session)
            return decision

        async with ledger.client.start_session() as session:
            decision = await session.with_transaction(body, **transaction_options())
        ledger.acknowledge(decision.outcomes[0])


def decide_one(command: PostingCommand, accounts: Mapping[str, LedgerAccount]) -> GroupDecision:
    """Let the domain decide one command; the accounts become what it leaves."""
    return decide_group([command], accounts=accounts, stored={}, new_id=new_id, now=utc_now())


async def _write_transaction(
    database: Database, outbox: OutboxStore, decision: GroupDecision, session: Session
) -> None:
    """Write what the engine writes for one decided command: its journal document, its event."""
    [transaction] = decision.transactions
    await insert_all(database["journal"], [to_document(transaction)], session=session)
    await outbox.add({"transactions": [transaction.id]}, events=1, session=session)


async def _write_accounts(database: Database, decision: GroupDecision, session: Session) -> None:
    """Write both balances in one round trip; the snapshot refuses an account that has changed since."""
    updates = [
        {
            "q": {"_id": account.id},
            "u": {"$set": {"balance": account.balance_minor, "sequence": account.sequence}},
        }
        for account in decision.changed.values()
    ]
    # A plain command: the driver's bulk API takes twice the time for the same.
    written = await database.command("update", "accounts", updates=updates, ordered=False, session=session)
    if written["n"] != len(updates):
        raise AssertionError("an account changed within its own transaction")


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
