"""Baseline (i): one Mongo transaction per transfer, as most systems do it, in the fewest round trips.

What it writes is what an outbox needs: the record in the journal, the event owed in a collection of its own.
"""

from daemons.banking_api.kinds.transfer import Transfer
from daemons.banking_api.ledger.account import Account, Terms
from daemons.banking_api.ledger.decide import GroupDecision, decide_group
from daemons.banking_api.ledger.documents import record_document
from daemons.banking_api.ledger.record import Outcome, Record
from daemons.contracts.names import AccountStatus, AccountType
from daemons.shared.clock import utc_now
from daemons.shared.ids import new_id
from daemons.shared.mongo import Document, Session, insert_all, transaction_options
from tests.bench.ledger import BenchLedger

OUTBOX = "outbox"


class OneByOne:
    """Reads both accounts, lets the same rule decide, writes both balances, the record and the event.

    Its ledger is its own: it takes the balances it reads for the truth, as the pipeline does not.
    """

    def __init__(self, ledger: BenchLedger) -> None:
        self._ledger = ledger
        self._database = ledger.database

    async def post(self, command: Transfer) -> None:
        """Post one command; the driver repeats it for as long as it meets write conflicts."""

        async def body(session: Session) -> Outcome:
            found = self._database["accounts"].find({"_id": {"$in": command.accounts()}}, session=session)
            accounts = {document["_id"]: _account(document) async for document in found}
            decision = decide_one(command, accounts)
            await self._write_balances(decision, session)
            [record] = decision.records
            await insert_all(self._database["journal"], [record_document(record)], session=session)
            await insert_all(self._database[OUTBOX], [event_owed(record)], session=session)
            return Outcome(record)

        async with self._ledger.client.start_session() as session:
            outcome = await session.with_transaction(body, **transaction_options())
        self._ledger.acknowledge(outcome)

    async def _write_balances(self, decision: GroupDecision, session: Session) -> None:
        """Write both in one round trip; the snapshot refuses an account that has changed since."""
        updates = [
            {
                "q": {"_id": account.id},
                "u": {"$set": {"balance": account.balance_minor, "sequence": account.sequence}},
            }
            for account in decision.changed.values()
        ]
        # A plain command: the driver's bulk API takes twice the time for the same.
        written = await self._database.command(
            "update", "accounts", updates=updates, ordered=False, session=session
        )
        if written["n"] != len(updates):
            raise AssertionError("an account changed within its own transaction")


def decide_one(command: Transfer, accounts: dict[str, Account]) -> GroupDecision:
    """Let the product's rules decide one command; the accounts become what it leaves."""
    return decide_group([command], accounts=accounts, stored={}, now=utc_now())


def event_owed(record: Record) -> Document:
    """Return the outbox's document of one record."""
    return {"_id": new_id(), "events": 1, "body": {"transactions": [record.id]}}


def _account(document: Document) -> Account:
    terms = Terms(
        document["owner"],
        AccountType(document["type"]),
        AccountStatus(document["status"]),
        document["currency"],
    )
    return Account(document["_id"], terms, document["balance"], document["sequence"])
