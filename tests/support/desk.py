"""The service of transactions over a ledger's process, with real approvals and audit; no HTTP."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from daemons.banking_api.acts import ActRecorder
from daemons.banking_api.ledger.node import LedgerNode
from daemons.banking_api.transactions.service import Transactions
from daemons.contracts.permissions import Role
from daemons.shared.approvals.approval import Standing
from daemons.shared.approvals.approvals import Approvals
from daemons.shared.approvals.policy import StaffPolicy
from daemons.shared.approvals.store import MongoApprovals
from daemons.shared.audit.trail import MongoAuditTrail
from daemons.shared.clock import utc_now
from tests.support.ledgers import LedgerProcess
from tests.support.nodes import running_node, runs
from tests.support.policies import asking_for

NOW = datetime(2026, 11, 23, tzinfo=UTC)
NOBODY_ASKS = StaffPolicy.model_validate(asking_for())
HALF_A_EURO_ALONE = StaffPolicy.model_validate(asking_for("fund", alone={"EUR": Decimal("0.50")}))


async def operators(ids: Collection[UUID]) -> Mapping[UUID, Standing]:
    """Whoever has asked is still an operator."""
    return dict.fromkeys(ids, Standing(role=Role.OPERATOR, locked=False, rights_lost_at=None))


@dataclass
class Desk:
    """The service over a node of the process, and the approvals that it asks for."""

    process: LedgerProcess
    node: LedgerNode
    transactions: Transactions
    approvals: Approvals


@asynccontextmanager
async def running_desk(process: LedgerProcess, policy: StaffPolicy) -> AsyncIterator[Desk]:
    database = process.database
    audit, store = MongoAuditTrail(database, chain="banking_api"), MongoApprovals(database)
    await audit.prepare()
    await store.prepare()
    approvals = Approvals(database.client, store, audit, standings=operators, policy=policy, clock=utc_now)
    process.pipeline._write_acts = ActRecorder(audit, approvals).write
    async with running_node(database, runs(process), find_approval=approvals.fetch) as node:
        transactions = Transactions(
            node, process.accounts, process.records, approvals, policy, clock=lambda: NOW
        )
        yield Desk(process, node, transactions, approvals)
