"""One process's part in deciding, as banking_api composes it: lease, stream and pipeline, without HTTP."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

from daemons.banking_api.kinds.table import KINDS
from daemons.banking_api.ledger.lease import Lease
from daemons.banking_api.ledger.node import LedgerNode, Run
from daemons.banking_api.ledger.pipeline import Pipeline
from daemons.banking_api.ledger.server import FindApproval, LedgerServer
from daemons.shared.approvals.approval import Approval, approval_not_found
from daemons.shared.auth.keys import read_private_key
from daemons.shared.auth.service_tokens import SERVICE_TOKEN_HEADER, ServiceTokenVerifier
from daemons.shared.ids import new_id
from daemons.shared.mongo import Database
from tests.support.daemon_keys import PRIVATE_KEYS, calls_of
from tests.support.ledgers import LedgerProcess

DAEMON = "banking_api"
_VERIFIER = ServiceTokenVerifier(DAEMON, {DAEMON: [read_private_key(PRIVATE_KEYS[DAEMON]).public_key()]})


async def no_approval(_approval_id: UUID) -> Approval:
    """Know no request."""
    raise approval_not_found()


def token() -> str:
    """Prove that one is a process of banking_api."""
    return calls_of(DAEMON).header_for(DAEMON)[SERVICE_TOKEN_HEADER]


def server(find_approval: FindApproval = no_approval) -> LedgerServer:
    """The ledger's end of the stream, which knows every kind and whom to trust."""
    return LedgerServer(KINDS, verify=_VERIFIER.verify, find_approval=find_approval)


def runs(process: LedgerProcess) -> Run:
    """Run the pipeline that the process has already, once: what it knows, the node's ledger knows."""

    @asynccontextmanager
    async def run(fenced: Callable[[], None]) -> AsyncIterator[Pipeline]:
        process.pipeline._fenced = fenced
        yield process.pipeline
        await process.pipeline.close()

    return run


@asynccontextmanager
async def running_node(
    database: Database, run: Run, *, find_approval: FindApproval = no_approval, lease: Lease | None = None
) -> AsyncIterator[LedgerNode]:
    """A node that has a role, until it hands over at the end."""
    listening = server(find_approval)
    port = await listening.start("127.0.0.1", 0, None)
    node = LedgerNode(lease or Lease(database, new_id()), listening, run, token=token)
    await node.start(f"127.0.0.1:{port}")
    try:
        yield node
    finally:
        await node.close()
        await listening.close()
