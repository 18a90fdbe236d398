"""What single payments cost in CPU time, in seconds and in units of a fixed loop timed beside them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import psutil

from tests.bench import machine
from tests.bench.daemon_process import cpu_seconds, resident_mebibytes
from tests.bench.figures import Bound, Figure
from tests.bench.load_plan import LoadReport
from tests.bench.samples import Spread, spread_of

_PER = 1_000


@dataclass(slots=True)
class Costs:
    """CPU seconds per 1,000 payments, one entry for each round."""

    processes: dict[str, list[float]] = field(default_factory=dict)
    """By what they are: several of one kind count together."""
    generator: list[float] = field(default_factory=list)
    loop: list[float] = field(default_factory=list)
    """CPU seconds of the fixed loop, timed before each round."""

    @property
    def all_in(self) -> list[float]:
        """All processes but the load generator together."""
        return [sum(of_round) for of_round in zip(*self.processes.values(), strict=True)]

    def keep_last(self, rounds: int) -> None:
        """Forget the warm-up."""
        for values in (*self.processes.values(), self.generator, self.loop):
            del values[:-rounds]

    def of(self, *names: str) -> list[float]:
        """Return what some of them have cost together."""
        return [sum(of_round) for of_round in zip(*(self.processes[name] for name in names), strict=True)]

    def __str__(self) -> str:
        parts = [f"{name} {spread_of(values).median:.3f} s" for name, values in self.processes.items()]
        generator, loop = (spread_of(values).median for values in (self.generator, self.loop))
        others = f"(load generator, not counted: {generator:.3f} s); loop {loop:.3f} s"
        return f"per 1,000: {', '.join(parts)} {others}"

    def figure(self, row: str, title: str, bound: Bound | None) -> Figure:
        unit_seconds = spread_of(self.loop).median
        return Figure(
            row=row,
            title=title,
            value=spread_of([cost / unit_seconds for cost in self.all_in]),
            unit="loops",
            bound=bound,
            made_of=f"{spread_of(self.all_in).median:.3f} s {self}",
            data=self.document(),
        )

    def document(self) -> dict[str, list[float]]:
        """All of it for JSON."""
        named = {f"{name}_seconds": values for name, values in self.processes.items()}
        return {**named, "generator_seconds": self.generator, "loop_seconds": self.loop}


class Meter:
    """Reads the CPU clocks around a load, of processes by what they are."""

    def __init__(self, processes: Mapping[str, list[psutil.Process]], costs: Costs) -> None:
        self._processes = processes
        self._costs = costs

    def start(self) -> None:
        self._costs.loop.append(machine.addition_loop_cpu_seconds())
        self._before = self._used()

    def stop(self, report: LoadReport) -> None:
        thousands = report.acknowledged / _PER
        for name, used in self._used().items():
            spent = self._costs.processes.setdefault(name, [])
            spent.append((used - self._before[name]) / thousands)
        self._costs.generator.append(report.cpu_seconds / thousands)

    def _used(self) -> dict[str, float]:
        return {name: sum(cpu_seconds(processes)) for name, processes in self._processes.items()}


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
