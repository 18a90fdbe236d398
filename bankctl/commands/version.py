"""version."""

import platform

from bankctl import __version__
from bankctl.render.output import emit


def version() -> None:
    """Show the versions of bankctl and Python.

    Examples:
      bankctl version
      bankctl version -o json
    """
    emit(
        {
            "bankctl": __version__,
            "python": platform.python_version(),
            "platform": f"{platform.system()} {platform.machine()}",
        },
        columns=["bankctl", "python", "platform"],
    )
