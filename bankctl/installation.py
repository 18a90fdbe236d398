"""How this very installation of bankctl gets a part that it lacks."""

import importlib.metadata
import json
import shlex
import sys
from importlib.util import find_spec
from urllib.parse import unquote, urlsplit


def how_to_install(extra: str) -> str:
    """The command that adds an extra to the environment that bankctl runs from, from where it came."""
    # Environments of uv have no pip.
    pip = (
        [sys.executable, "-m", "pip", "install"]
        if find_spec("pip") is not None
        else ["uv", "pip", "install", "--python", sys.executable]
    )
    origin = json.loads(importlib.metadata.distribution("bankctl").read_text("direct_url.json") or "{}")
    if not str(origin.get("url", "")).startswith("file:"):
        return shlex.join([*pip, f"bankctl[{extra}]=={importlib.metadata.version('bankctl')}"])
    source = unquote(urlsplit(origin["url"]).path)
    editable = ["--editable"] if origin.get("dir_info", {}).get("editable") else []
    return shlex.join([*pip, *editable, f"{source}[{extra}]"])
