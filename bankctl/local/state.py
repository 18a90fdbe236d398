"""What the commands and the supervisor tell one another: two small files, each written in one step."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from bankctl.files import write_private
from bankctl.local.identity import SUPERVISOR, Identity, marked
from bankctl.local.layout import Layout
from bankctl.local.part import Health, PartState

_REWRITTEN_SECONDS = 3.0
"""A supervisor looks at its files several times within that."""
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Intent:
    """What `up` asked for; a supervisor that takes over later reads the same."""

    parts: tuple[str, ...]
    external: Mapping[str, str] = field(default_factory=dict, repr=False)
    """MONGO_URI, KAFKA_BROKER with its account, and JWT_SECRET as given by the environment."""
    tools: Mapping[str, str] = field(default_factory=dict)
    """Paths of mongod, java, caddy and Swagger UI, and Kafka's class path."""

    def save(self, layout: Layout) -> None:
        """Write it; it may hold secrets, so its owner alone can read it."""
        write_private(layout.intent, self.encode())

    def encode(self) -> bytes:
        """The file's content."""
        return json.dumps(asdict(self), indent=2).encode()

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

    def encode(self) -> bytes:
        """The file's content."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def observe(cls, layout: Layout) -> "StackState":
        """What runs. Where the file names no living supervisor, the marks of the processes decide.

        A supervisor whose file is lost or broken writes it again within a moment. One that does not, because
        it is stopped, is shown with the parts that run; whether these serve is for the caller to ask.
        """
        deadline = time.monotonic() + _REWRITTEN_SECONDS
        while not (state := cls.load(layout)).supervised:
            running = [found for found in marked(layout.mark) if found.leads or found.part == SUPERVISOR]
            supervisor = next((found.identity for found in running if found.part == SUPERVISOR), None)
            if supervisor is not None and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
                continue
            state.supervisor = supervisor
            for part, identity, _, _ in running:
                if part != SUPERVISOR and part not in state.identities():
                    state.parts[part] = PartState(part, Health.HEALTHY, identity.pid, identity.created)
            break
        return state

    @classmethod
    def load(cls, layout: Layout) -> "StackState":
        """Read the file; an empty state when there is none or it is damaged."""
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
