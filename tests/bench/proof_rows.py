"""What a later proof costs, against one that reads the whole journal."""

import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from daemons.banking_api.books.checkpoints import CheckpointKeys, Checkpoints
from daemons.banking_api.books.proof import LedgerProver
from daemons.banking_api.books.proven_states import ProvenStates
from daemons.banking_api.books.snapshot import SnapshotOpener
from daemons.shared.clock import utc_now
from daemons.shared.ids import new_id
from daemons.shared.progress import Progress
from tests.bench.figures import TIMES, Figure, at_most
from tests.bench.samples import paired_ratio, spread_of
from tests.bench.size_rows import fill
from tests.bench.workbench import Workbench, say

_NEW_IN = 100
"""One transfer of so many is new since the earlier proof."""


async def later_proofs(bench: Workbench) -> list[Figure]:
    """Fill a ledger, prove it, fill it a little further, and take turns at going on and at reading all."""
    ledger, many = await bench.ledger("proved"), bench.options.large_transactions
    keys = CheckpointKeys(new_id(), Ed25519PrivateKey.generate(), [])
    checkpoints = Checkpoints(ledger.database, keys, clock=utc_now)
    opener = SnapshotOpener(ledger.client, ledger.database)
    prover = LedgerProver(opener, lambda: checkpoints, ProvenStates(ledger.database))

    async def prove(since: int | None) -> tuple[float, int]:
        begun = time.monotonic()
        proof = await prover.prove_and_sign(Progress(), since=since)
        seconds = time.monotonic() - begun
        if not proof.holds or proof.checkpoint is None:
            raise AssertionError(f"the books do not hold: {proof.mismatches[:5]}")
        if (proof.start is None) is not (since is None):
            raise AssertionError("the proof read more than it was asked to")
        say(f"  {'all' if since is None else 'what is new'}: {seconds:.1f} s")
        return seconds, proof.checkpoint.size

    books = await fill(ledger, many)
    _, size = await prove(None)
    new = max(1_000, many // _NEW_IN)
    await fill(ledger, new, books)
    await bench.checkpoint()
    later, full = [], []
    for _ in range(max(1, min(3, bench.options.rounds))):
        later.append((await prove(size))[0])
        full.append((await prove(None))[0])
    return [
        Figure(
            row="prove",
            title=f"a proof of {new:,} new transfers of {many:,} / of all",
            value=paired_ratio(later, full),
            unit=TIMES,
            bound=at_most(0.05),
            made_of=f"{spread_of(later).median:.1f} s against {spread_of(full).median:.1f} s",
            data={"later_seconds": later, "full_seconds": full},
        )
    ]
