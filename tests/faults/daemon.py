"""`python -m tests.faults.daemon KIND [CONTROL]`: a real daemon, made worse.

With CONTROL, crash points are set (tests.faults.crash_points) and the daemon is started again, from a parent
that has loaded its modules, whenever it has ended otherwise than on request. With a bug chosen
(tests.faults.planting) the bug is planted first.
"""

import importlib
import os
import runpy
import signal
import sys
from pathlib import Path
from types import FrameType

from tests.faults import crash_points
from tests.faults.planting import plant_chosen_bug


def main() -> None:
    """Serve in this process, or in children one after another."""
    kind, *control = sys.argv[1:]
    importlib.import_module(f"daemons.{kind}.app")
    if not control:
        _serve(kind, None)
        return
    child = 0

    def end(_number: int, _frame: FrameType | None) -> None:
        if child:
            os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)
        os._exit(0)

    while True:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            _serve(kind, Path(control[0]))
            os._exit(0)
        signal.signal(signal.SIGTERM, end)
        Path(control[0] + ".pid").write_text(str(child))
        os.waitpid(child, 0)


def _serve(kind: str, control: Path | None) -> None:
    plant_chosen_bug()
    if control is not None:
        crash_points.install(control)
    sys.argv = [f"daemons.{kind}"]
    runpy.run_module(f"daemons.{kind}", run_name="__main__")


if __name__ == "__main__":
    main()
