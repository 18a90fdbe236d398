"""What single payments cost in CPU time, in seconds and in units of a fixed loop timed beside them."""

from dataclasses import dataclass, field

import psutil

from tests.bench import machine
from tests.bench.daemon_process import DaemonProcess, cpu_seconds, resident_mebibytes
from tests.bench.figures import Figure, at_most
from tests.bench.load_plan import LoadReport
from tests.bench.samples import Spread, spread_of

_PER = 1_000


@dataclass(slots=True)
class Costs:
    """CPU seconds per 1,000 payments, one entry for each round."""

    daemon: list[float] = field(default_factory=list)
    mongod: list[float] = field(default_factory=list)
    generator: list[float] = field(default_factory=list)
    loop: list[float] = field(default_factory=list)
    """CPU seconds of the fixed loop, timed before each round."""

    @property
    def all_in(self) -> list[float]:
        """Daemon and mongod together."""
        return [daemon + mongod for daemon, mongod in zip(self.daemon, self.mongod, strict=True)]

    def keep_last(self, rounds: int) -> None:
        """Forget the warm-up."""
        for values in (self.daemon, self.mongod, self.generator, self.loop):
            del values[:-rounds]

    def figure(self, row: str, title: str) -> Figure:
        unit_seconds = spread_of(self.loop).median
        daemon, mongod, generator = (
            spread_of(values).median for values in (self.daemon, self.mongod, self.generator)
        )
        return Figure(
            row=row,
            title=title,
            value=spread_of([cost / unit_seconds for cost in self.all_in]),
            unit="loops",
            bound=at_most(1.2),
            made_of=(
                f"per 1,000: daemon {daemon:.3f} s, mongod {mongod:.3f} s "
                f"(load generator, not counted: {generator:.3f} s); loop {unit_seconds:.3f} s"
            ),
            data={
                "daemon_seconds": self.daemon,
                "mongod_seconds": self.mongod,
                "generator_seconds": self.generator,
                "loop_seconds": self.loop,
            },
        )


class Meter:
    """Reads the CPU clocks around a load."""

    def __init__(self, daemon: DaemonProcess, mongod: psutil.Process, costs: Costs) -> None:
        self._processes = (daemon.process, mongod)
        self._costs = costs

    def start(self) -> None:
        self._costs.loop.append(machine.addition_loop_cpu_seconds())
        self._before = cpu_seconds(self._processes)

    def stop(self, report: LoadReport) -> None:
        daemon, mongod = (
            after - before for after, before in zip(cpu_seconds(self._processes), self._before, strict=True)
        )
        thousands = report.acknowledged / _PER
        self._costs.daemon.append(daemon / thousands)
        self._costs.mongod.append(mongod / thousands)
        self._costs.generator.append(report.cpu_seconds / thousands)


def memory_figure(row: str, processes: dict[str, psutil.Process]) -> Figure:
    """Resident memory of each process, after its load."""
    memory = {name: resident_mebibytes(process) for name, process in processes.items()}
    total = sum(memory.values())
    return Figure(
        row=row,
        title="memory of all processes, resident",
        value=Spread(total, total, total),
        unit="MiB",
        bound=None,
        made_of=", ".join(f"{name} {mebibytes:.0f}" for name, mebibytes in memory.items()),
        data=memory,
    )
