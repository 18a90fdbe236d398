"""A run's results: for a terminal, for machines, and for docs/measurements/benchmark.md."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from tests.bench.figures import Figure
from tests.bench.machine import Machine
from tests.bench.options import Options
from tests.bench.table import markdown_table, put_between_markers, text_table


class Report:
    """The figures of one run and what they were measured on."""

    def __init__(self, options: Options, machine: Machine, figures: Sequence[Figure]) -> None:
        self._options = options
        self._machine = machine
        self._figures = figures
        self._at = datetime.now(UTC)

    @property
    def all_reached(self) -> bool:
        return all(figure.verdict != "SHORT" for figure in self._figures)

    def text(self) -> str:
        return f"\n{text_table(self._figures)}\n\n{self._machine}\n{self._how()}"

    def json(self) -> str:
        return json.dumps(
            {
                "at": self._at.isoformat(timespec="seconds"),
                "options": {name: str(value) for name, value in asdict(self._options).items()},
                "machine": asdict(self._machine),
                "figures": [figure.document() for figure in self._figures],
            },
            indent=2,
        )

    def put_into(self, document: Path) -> None:
        """Replace the table between the document's markers."""
        content = f"{self._machine}. {self._how()}\n\n{markdown_table(self._figures)}"
        text = put_between_markers(document.read_text(encoding="utf-8"), content)
        document.write_text(text, encoding="utf-8")

    def _how(self) -> str:
        options = self._options
        how = f"{self._at:%Y-%m-%d}, {options.rounds} rounds of {options.seconds:g} s for each side"
        return f"{how}; --quick: NOT to be quoted." if options.quick else f"{how}."
