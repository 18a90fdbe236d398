"""What the supervisor needs to know of one part in order to start, watch and stop it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

EXIT_BAD_SETTINGS = 2


class Health(StrEnum):
    """Where a part stands."""

    WAITING = "waiting"
    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    DEGRADED = "degraded"
    """It serves, but something that it owes waits."""
    RESTARTING = "restarting"
    FAILED = "failed"
    STOPPING = "stopping"
    STOPPED = "stopped"
    EXTERNAL = "external"


@dataclass(frozen=True)
class Step:
    """A command that runs to its end before the part starts, once in the life of the data folder."""

    command: Sequence[str]
    folder: Path
    """Emptied before the step: without the marker, nothing has ever used it."""
    marker: Path
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Part:
    """One process of the stack.

    `ready_url` is asked until it answers with `ready_status`; `confirm` is a command that ends with 0 once
    the part serves. Either may be missing; the port must accept connections in any case.
    """

    name: str
    port: int
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    after: Sequence[str] = ()
    once: Step | None = None
    ready_url: str | None = None
    ready_status: int = 200
    trust: Path | None = None
    confirm: Sequence[str] | None = None
    confirm_environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Further environment of the command, such as a password that the part itself need not know."""
    bad_settings_status: int | None = None
    stop_seconds: float = 15.0
    stop_rank: int = 0
    """Parts of a lower rank are stopped first."""


@dataclass
class PartState:
    """What the supervisor knows of a part, as written to state.json."""

    name: str
    health: Health = Health.WAITING
    pid: int | None = None
    created: float | None = None
    port: int | None = None
    restarts: int = 0
    failures: int = 0
    """How often in a row it ended before it was healthy."""
    detail: str | None = None
    """Why the part is not healthy."""
    since: float | None = None
    """When it became what it is, in seconds since the epoch."""
    fingerprint: str | None = None

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "PartState":
        """Rebuild from state.json."""
        known = {name: kept[name] for name in cls.__dataclass_fields__ if name in kept}
        return cls(**{**known, "health": Health(kept["health"])})
