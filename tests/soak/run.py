"""`python -m tests.soak.run --seed N --hours H`: random faults from a seed, under load, for hours.

The seed decides which faults come in which order; how they meet the load is the machine's doing. Every
`ROUND` faults everything is healed and held to the invariants; they are watched all the while. In between
come the suites whose faults are not drawn: one key a hundred times at once, poisoned records and rebalances,
every route by every caller, crash points and the state machine at length, and Schemathesis on each daemon.
Status 1 and the faults of the failing round when anything was lost or came twice.
"""

import argparse
import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from tests.faults.bank_processes import FaultBank, another, running_bank
from tests.faults.invariants import assert_nothing_lost_nothing_twice, watched
from tests.faults.kafka_server import KafkaServer
from tests.faults.load import new_load
from tests.faults.proxy import Proxy, running_proxy
from tests.faults.replica_set import ReplicaSet, running_replica_set
from tests.faults.tally import Tallies
from tests.soak.catalogue import FAULTS, Stage

ROOT = Path(__file__).parents[2]
ROUND = 12
ROUNDS_OF_ONE_BANK = 10
_SUITES = (
    "tests/faults/test_conversations.py",
    "tests/integration/notifier",
    "tests/guards/test_callers.py",
    "tests/faults/test_crash_points.py",
    "tests/faults/test_state_machine.py",
)


class Soak:
    """One run; `tallies` has what has passed every check so far."""

    def __init__(self, seed: int, seconds: float, folder: Path) -> None:
        self.tallies = Tallies()
        self.faults: Counter[str] = Counter()
        self.proofs = 0
        self._seed = seed
        self._dice = random.Random(seed)  # noqa: S311 - a run must be repeatable from its seed
        self._until = time.monotonic() + seconds
        self._folder = folder
        self._banks = 0

    async def run(self, *, suites: bool) -> None:
        async with running_replica_set(self._folder / "replicas") as replica_set:
            kafka = KafkaServer(self._folder / "kafka")
            await asyncio.to_thread(kafka.format)
            kafka.start()
            try:
                await kafka.until_it_serves()
                while self._goes_on():
                    await self._one_bank(replica_set, kafka)
                    if suites and self._goes_on():
                        await asyncio.to_thread(self._suites)
            finally:
                await kafka.stop()

    def _goes_on(self) -> bool:
        return time.monotonic() < self._until

    async def _one_bank(self, replica_set: ReplicaSet, kafka: KafkaServer) -> None:
        """A bank begins with empty books, so that proving them stays quick however long the run."""
        self._banks += 1
        await kafka.forget()
        folder = self._folder / f"bank{self._banks}"
        folder.mkdir()
        async with (
            running_bank(folder, replica_set.uri, kafka.address) as bank,
            another(bank, "banking_api") as second,
            another(bank, "notifier"),
            running_proxy(int(bank.banking_api.rpartition(":")[2])) as line,
        ):
            for _ in range(ROUNDS_OF_ONE_BANK):
                if self._goes_on():
                    await self._round(bank, replica_set, kafka, line, second)

    async def _round(
        self, bank: FaultBank, replica_set: ReplicaSet, kafka: KafkaServer, line: Proxy, second: str
    ) -> None:
        await bank.heal()
        load = await new_load(bank, people=4, seed=self._dice.randrange(1 << 30))
        load.addresses = [bank.banking_api, second, f"http://127.0.0.1:{line.port}"]
        stage = Stage(bank, replica_set, kafka, line, load, self._dice)
        struck: Counter[str] = Counter()
        names = list(FAULTS)
        weights = [FAULTS[name][0] for name in names]
        try:
            async with watched(bank) as watch:
                load.start(timeout_seconds=10, workers=8)
                try:
                    for name in self._dice.choices(names, weights, k=ROUND):
                        struck[name] += 1
                        await FAULTS[name][1](stage)
                        await stage.go_on()
                finally:
                    await load.stop()
            await bank.heal()
            await replica_set.until_whole()
            tally = await assert_nothing_lost_nothing_twice(load)
        except BaseException:
            sys.stdout.write(f"\nfaults of the failing round: {dict(struck)}\n")
            raise
        self.proofs += watch.proofs
        self.faults.update(struck)
        self.tallies.add("all of these", sum(struck.values()), tally)
        kinds = ", ".join(f"{count} {name}" for name, count in sorted(struck.items()))
        sys.stdout.write(f"{sum(struck.values())} faults ({kinds}); {tally}\n")
        sys.stdout.flush()

    def _suites(self) -> None:
        environment = {
            "CRASH_ROUNDS": "3",
            "MACHINE_EXAMPLES": "400",
            "MACHINE_STEPS": "100",
            "SCHEMATHESIS_CASES": "5000",
            **os.environ,
        }
        seed, cases = self._dice.randrange(1 << 30), environment["SCHEMATHESIS_CASES"]
        suites = ["pytest", "-q", f"--hypothesis-seed={seed}", *_SUITES, "-o", "timeout=7200"]
        schemathesis = ["tests.evidence.schemas", "--cases", cases, "--seed", str(seed)]
        sys.stdout.flush()
        for module in (schemathesis, suites):
            subprocess.run([sys.executable, "-m", *module], cwd=ROOT, env=environment, check=True)


def main() -> int:
    """Run for the given time and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--faults-only", action="store_true", help="leave the long suites out")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 30)
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    sys.stdout.write(f"repeat with: make soak SEED={seed} HOURS={options.hours:g}   (logs: {folder})\n")
    sys.stdout.flush()
    soak = Soak(seed, options.hours * 3600, folder)
    status = 0
    try:
        asyncio.run(soak.run(suites=not options.faults_only))
    except Exception:  # noqa: BLE001 - whatever it was, the seed and what had passed are shown with it
        traceback.print_exc()
        status = 1
    rows = [f"| {name} | {soak.faults[name]} |" for name in FAULTS]
    sys.stdout.write("\n".join(["", "| fault | injected |", "|---|---:|", *rows, ""]))
    sys.stdout.write("\n".join(["", *soak.tallies.lines(), ""]))
    if status != 0:
        verdict = "FAILED"
    elif soak.faults:
        verdict = "nothing lost, nothing twice"
    else:
        verdict, status = "nothing was tried: give it more hours", 1
    sys.stdout.write(f"{verdict}; books proved {soak.proofs} times under faults; seed {seed}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
