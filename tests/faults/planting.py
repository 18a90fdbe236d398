"""Which bug the daemons of this run are to have, if any."""

import importlib
import os

VARIABLE = "PLANTED_BUG"


def chosen_bug() -> str:
    """The bug that this run's daemons are to have, or nothing."""
    return os.environ.get(VARIABLE, "")


def plant_chosen_bug() -> None:
    """Change this process, before a daemon's application is built in it."""
    if chosen_bug():
        # Bugs reach into the daemons; only runs that plant one depend on what those look like inside.
        importlib.import_module("tests.faults.planted_bugs").BUGS[chosen_bug()]()
