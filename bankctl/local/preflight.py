"""What is looked at before anything is started: programs, ports, and the servers that are given."""

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bankctl.errors import CliError, ExitStatus
from bankctl.local import kafka_jars, ports
from bankctl.local.cache import find_valkey
from bankctl.local.gateway import TOOLS as GATEWAY_TOOLS
from bankctl.local.identity import marked
from bankctl.local.kafka import find_java
from bankctl.local.layout import Layout
from bankctl.local.mongod import find_mongod
from bankctl.local.plan import INSTEAD_OF
from bankctl.local.progress import Progress
from bankctl.local.settings import Settings
from bankctl.local.state import Intent, StackState

_PINGS: Mapping[str, str] = {
    "MONGO_URI": "daemons.shared.mongo_admin",
    "KAFKA_BROKER": "daemons.shared.kafka_admin",
}
_TOOLS: Mapping[str, Mapping[str, Callable[[], Path]]] = {
    "mongod": {"mongod": find_mongod},
    "kafka": {"java": find_java},
    "gateway": GATEWAY_TOOLS,
    "cache": {"valkey": find_valkey},
}


def find_tools(parts: Sequence[str], external: Mapping[str, str], progress: Progress) -> dict[str, str]:
    """Find everything that the parts are made of, and fetch what is missing.

    Raises:
        CliError: something is missing; the message names everything that is.
    """
    found: dict[str, str] = {}
    missing: list[CliError] = []
    wanted = [name for name in parts if not external.get(INSTEAD_OF.get(name, ""))]
    for part in wanted:
        for tool, find in _TOOLS.get(part, {}).items():
            try:
                found[tool] = str(find())
            except CliError as error:
                missing.append(error)
    if missing:
        raise CliError(
            "\n".join(error.message for error in missing),
            exit_status=ExitStatus.UNEXPECTED,
            hint="\n".join(dict.fromkeys(error.hint for error in missing if error.hint)),
            code=missing[0].code,
        )
    if "kafka" in wanted:
        found["kafka"] = kafka_jars.resolve(progress)
    return found


def refuse_busy_ports(layout: Layout, settings: Settings, intent: Intent, *, up_command: str) -> None:
    """Make sure that every part can listen where it should.

    Raises:
        CliError: a port is held by a process that is not this stack's; names it, and what to do.
    """
    ours = {identity.pid for identity in StackState.load(layout).identities().values()}
    ours |= {found.identity.pid for found in marked(layout.mark)}
    own = {name for name in intent.parts if not intent.external.get(INSTEAD_OF.get(name, ""))}
    if "kafka" in own:
        own.add("kafka_controller")
    if "banking_api" in own:
        own.add("ledger")
    holders = {name: ports.holder(settings.ports[name]) for name in settings.ports if name in own}
    foreign = {name: holder for name, holder in holders.items() if holder and holder.pid not in ours}
    if foreign:
        raise CliError(
            "\n".join(f"{name}: {holder}" for name, holder in foreign.items()),
            exit_status=ExitStatus.CONFLICT,
            hint=f"stop that process, or choose free ports: {up_command} --ports auto "
            f"(or only this one: --port {next(iter(foreign))}=NUMBER)",
            code="port_in_use",
            details={
                "ports": {
                    name: {"port": h.port, "pid": h.pid, "process": h.name} for name, h in foreign.items()
                }
            },
        )


def refuse_silent_externals(intent: Intent) -> None:
    """Make sure that the servers given by the environment answer.

    Raises:
        CliError: one does not.
    """
    for variable, module in _PINGS.items():
        if not intent.external.get(variable):
            continue
        # The address may hold a password: the module reads it from the environment, not from its arguments.
        answer = subprocess.run(
            [sys.executable, "-m", module, "ping", "--timeout-seconds", "5"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if answer.returncode:
            raise CliError(
                f"{variable} is set, but that server does not answer: {answer.stderr.strip()[:300]}",
                exit_status=ExitStatus.UNREACHABLE,
                hint=f"start it or correct the variable; or unset {variable} to get one started",
                code="external_unreachable",
            )
