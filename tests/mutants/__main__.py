"""`make mutants`: puts small faults into the code, one at a time, and runs the tests that reach them.

mutmut makes the faults. One that mypy refuses counts as noticed, because `make test` runs mypy as well. A
fault that no test notices is a survivor. At least `ENOUGH_KILLED` of each module's faults must be noticed;
each survivor needs a line in harmless.toml that says why it does no harm. Which modules and which tests take
part stands in `[tool.mutmut]` of pyproject.toml.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.mongo import GIVEN_SERVER, running_mongod

ENOUGH_KILLED = 0.9
_FOLDER = Path("mutants")
_HARMLESS = Path(__file__).with_name("harmless.toml")
_LITERAL = re.compile(r"""(?x) "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' """)
_SURVIVED = frozenset({"survived", "no tests", "suspicious", "not checked"})


@dataclass(frozen=True)
class Survivor:
    """A fault that no test noticed: the function it is in, and the lines as they were and as they became."""

    name: str
    status: str
    before: str
    after: str

    @property
    def function(self) -> str:
        """The dotted name of the function or method."""
        module, _, mangled = self.name.rpartition("__mutmut_")[0].rpartition(".")
        # "xǁClassǁmethod" or "x_function".
        inner = mangled.split("ǁ")[1:] or [mangled.removeprefix("x_")]
        return ".".join([module, *inner])

    @property
    def is_wording(self) -> bool:
        """Whether only the wording of a sentence meant for people differs."""
        return _without_sentences(self.before) == _without_sentences(self.after)

    def __str__(self) -> str:
        return f"{self.function} ({self.status})\n    - {self.before}\n    + {self.after}"


@dataclass(frozen=True)
class Harmless:
    """A survivor that may live, and why. Without `becomes`, any fault in the line."""

    function: str
    line: str
    why: str
    becomes: str | None = None

    def covers(self, survivor: Survivor) -> bool:
        """Tell whether this is that survivor."""
        return (
            survivor.function == self.function
            and survivor.before == self.line
            and self.becomes in {None, survivor.after}
        )


def main() -> int:
    """Run the faults, print what came of them, and return 1 if the tests notice too few."""
    arguments = _arguments()
    if not arguments.report:
        # mutmut would keep what it found before, although the tests have changed since.
        shutil.rmtree(_FOLDER, ignore_errors=True)
        with (
            tempfile.TemporaryDirectory(prefix="bankctl-mutants-") as folder,
            running_mongod(Path(folder)) as uri,
        ):
            path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            environment = {**os.environ, GIVEN_SERVER: uri, "PATH": path}
            command = ["mutmut", "run", "--max-children", str(arguments.workers), *arguments.names]
            subprocess.run(command, env=environment, check=True)
    return _report([Harmless(**entry) for entry in tomllib.loads(_HARMLESS.read_text("utf-8"))["harmless"]])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutants", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help="only faults whose names match, such as 'daemons.*.money.*'")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="how many faults at a time")
    parser.add_argument("--report", action="store_true", help="only report on the last run")
    return parser.parse_args()


def _report(harmless: list[Harmless]) -> int:
    survivors: list[Survivor] = []
    too_few: list[str] = []
    _say(f"{'module':<58} {'faults':>6} {'noticed':>8}")
    for path, faults, alive in _modules():
        noticed = 1 - len(alive) / faults
        _say(f"{path:<58} {faults:>6} {noticed:>8.1%}")
        survivors += alive
        if noticed < ENOUGH_KILLED:
            too_few.append(path)
    told = [found for found in survivors if not found.is_wording]
    unexplained = [found for found in told if not any(entry.covers(found) for entry in harmless)]
    for found in unexplained:
        _say(str(found))
    for entry in harmless:
        count = sum(entry.covers(found) for found in told)
        _say(f"{count} harmless: {entry.function}: {entry.line} ({entry.why})")
    _say(f"{len(survivors) - len(told)} change only the wording of a sentence")
    _say(f"{len(unexplained)} survivors without a reason")
    if too_few:
        _say(f"fewer than {ENOUGH_KILLED:.0%} noticed: {', '.join(too_few)}")
    return 1 if unexplained or too_few else 0


def _modules() -> Iterator[tuple[str, int, list[Survivor]]]:
    """Each module that was changed, with how many faults it had and those that nobody noticed."""
    # mutmut reads its settings when it is imported.
    from mutmut.mutation.data import SourceFileMutationData  # noqa: PLC0415
    from mutmut.mutation.diff_apply import get_diff_for_mutant  # noqa: PLC0415
    from mutmut.stats import status_by_exit_code  # noqa: PLC0415

    for meta in sorted(_FOLDER.rglob("*.meta")):
        data = SourceFileMutationData(path=meta.relative_to(_FOLDER).with_suffix(""))
        data.load()
        statuses = {name: status_by_exit_code[code] for name, code in data.exit_code_by_key.items()}
        alive = [
            Survivor(name, status, *_lines(get_diff_for_mutant(name, path=data.path)))
            for name, status in statuses.items()
            if status in _SURVIVED
        ]
        if statuses:
            yield str(data.path), len(statuses), alive


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def _lines(diff: str) -> tuple[str, str]:
    """What a diff takes away and what it puts in its place, each on one line."""
    changed = [line for line in diff.splitlines() if line[:3] not in {"+++", "---"}]
    return " ".join(_of(changed, "-")), " ".join(_of(changed, "+"))


def _of(lines: list[str], sign: str) -> Iterator[str]:
    return (line[1:].strip() for line in lines if line.startswith(sign))


def _without_sentences(line: str) -> str:
    """The line with every literal of more than one word taken out: mutmut changes its case or adds XX."""
    return _LITERAL.sub(lambda literal: "" if " " in literal[0] else literal[0], line)


if __name__ == "__main__":
    sys.exit(main())
