"""The real gateway before a bank's daemons, and a terminal whose user is logged in through it."""

import os
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from bankctl.local import ports
from bankctl.local.gateway import gateway_part, gateway_url
from bankctl.local.layout import Layout
from bankctl.local.part import Part
from tests.bench.daemon_process import DaemonProcess
from tests.support.gateway import gateway_tools
from tests.support.terminal import Terminal

_START_TIMEOUT_SECONDS = 60
_STOP_TIMEOUT_SECONDS = 15
GATEWAY_HOST = "localhost"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running Caddy, and the certificate to trust."""

    port: int
    certificate: Path
    process: psutil.Process

    @property
    def url(self) -> str:
        return gateway_url(self.port)


@contextmanager
def running_gateway(user_api: DaemonProcess, daemon: DaemonProcess, folder: Path) -> Iterator[Gateway]:
    """Run Caddy before user_api and the daemon, set up as in the local stack."""
    layout = Layout("bench", folder)
    layout.create()
    port, nobody = ports.pick(2)
    numbers = {
        "gateway": port,
        "user_api": user_api.port,
        "banking_api": daemon.port,
        "notifier": nobody,
    }
    part = gateway_part(layout, gateway_tools(), numbers)
    with layout.log("gateway").open("ab") as log:
        process = subprocess.Popen(
            part.command, env={**os.environ, **part.environment}, stdout=log, stderr=log, cwd=folder
        )
    try:
        _await_serving(part, layout)
        yield Gateway(port, layout.certificate, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(_STOP_TIMEOUT_SECONDS)


def _await_serving(part: Part, layout: Layout) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if layout.certificate.is_file():
            trusted = ssl.create_default_context(cafile=str(layout.certificate))
            try:
                answer = httpx.get(str(part.ready_url), verify=trusted, trust_env=False)
            except httpx.TransportError:
                pass
            else:
                assert answer.status_code == part.ready_status, answer
                return
        time.sleep(0.05)
    raise RuntimeError(f"the gateway does not serve:\n{layout.log('gateway').read_text()[-2000:]}")


async def logged_in(email: str, password: str, gateway: Gateway, home: Path) -> Terminal:
    """Return a terminal of its own whose user is logged in."""
    terminal = Terminal(home)
    await terminal.run("config", "set", "url", gateway.url, "--profile", "bench")
    await terminal.run("config", "set", "ca_file", str(gateway.certificate), "--profile", "bench")
    await terminal.run("login", "--email", email, "--password-stdin", stdin=f"{password}\n")
    return terminal
