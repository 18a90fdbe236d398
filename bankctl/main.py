"""The console entry point. Keep it light: `bankctl --version` must not load what it does not need."""

import sys
from collections.abc import Sequence
from contextlib import suppress

from bankctl import __version__


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit status."""
    if list(arguments) == ["--version"] and sys.stdout is not None:
        with suppress(OSError):
            sys.stdout.write(f"bankctl {__version__}\n")
            sys.stdout.flush()
            return 0
    from bankctl.execution import execute  # noqa: PLC0415  # loads typer

    return execute(arguments)


def main() -> None:
    """Run the command line of this process; the console script `bankctl`."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
