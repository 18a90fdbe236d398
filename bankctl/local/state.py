"""What the commands and the supervisor tell one another: two small files, each written in one step."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from bankctl.files import write_private
from bankctl.local.identity import Identity
from bankctl.local.layout import Layout
from bankctl.local.part import PartState


@dataclass(frozen=True)
class Intent:
    """What `up` asked for; a supervisor that takes over later reads the same."""

    parts: tuple[str, ...]
    external: Mapping[str, str] = field(default_factory=dict, repr=False)
    """MONGO_URI, KAFKA_BROKER with its account, and JWT_SECRET as given by the environment."""
    tools: Mapping[str, str] = field(default_factory=dict)
    """Paths of mongod, java and caddy, and Kafka's class path."""

    def save(self, layout: Layout) -> None:
        """Write it; it may hold secrets, so its owner alone can read it."""
        write_private(layout.intent, json.dumps(asdict(self), indent=2).encode())

    @classmethod
    def load(cls, layout: Layout) -> "Intent | None":
        """Read it; None when nothing was ever asked for, or the file is damaged."""
        try:
            kept = json.loads(layout.intent.read_text())
            return cls(tuple(kept["parts"]), kept["external"], kept["tools"])
        except (OSError, ValueError, KeyError, TypeError):
            return None


@dataclass
class StackState:
    """What runs, as the supervisor last wrote it."""

    supervisor: Identity | None = None
    parts: dict[str, PartState] = field(default_factory=dict)

    def save(self, layout: Layout) -> None:
        """Write it in one step."""
        write_private(layout.state, json.dumps(asdict(self)).encode())

    @classmethod
    def load(cls, layout: Layout) -> "StackState":
        """Read it; an empty one when there is none or it is damaged (the marks still find what runs)."""
        try:
            kept = json.loads(layout.state.read_text())
            supervisor = Identity(**kept["supervisor"]) if kept["supervisor"] else None
            return cls(supervisor, {name: PartState.from_json(part) for name, part in kept["parts"].items()})
        except (OSError, ValueError, KeyError, TypeError):
            return cls()

    @property
    def supervised(self) -> bool:
        """Whether the recorded supervisor lives."""
        return self.supervisor is not None and self.supervisor.alive()

    def identities(self) -> dict[str, Identity]:
        """The recorded processes that still live, by part."""
        recorded = {
            name: Identity(part.pid, part.created)
            for name, part in self.parts.items()
            if part.pid is not None and part.created is not None
        }
        return {name: identity for name, identity in recorded.items() if identity.alive()}
