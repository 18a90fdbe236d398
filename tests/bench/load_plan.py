"""What the load generator is asked to do, and what it tells afterwards: JSON between two processes."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.bench.samples import Round


@dataclass(frozen=True, slots=True, kw_only=True)
class Payer:
    """Somebody signed in: the session cookie, and the accounts to pay from."""

    cookie: str
    accounts: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """Payments over keep-alive connections, for a bounded time.

    Connections are dealt out to ports and payers in turn. Each sends its next request when the last one is
    answered, or, with `requests_per_second`, at the moments that rate asks for.
    """

    ports: list[int]
    payers: list[Payer]
    receivers: list[str]
    connections: int
    seconds: float
    rows_per_request: int = 1
    requests_per_second: float | None = None
    host: str = "127.0.0.1"
    certificate: str | None = None
    """The file of the certificate to trust, where TLS is spoken."""
    mixed: bool = False
    """Whether each request is of any of the payers dealt to its connection, and not all of one."""

    def payers_of(self, connection: int) -> list[Payer]:
        """Return whose requests the connection sends."""
        if self.mixed:
            return self.payers[connection :: self.connections]
        return [self.payers[connection % len(self.payers)]]

    def dumps(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, text: str) -> "LoadPlan":
        found: dict[str, Any] = json.loads(text)
        return cls(**{**found, "payers": [Payer(**payer) for payer in found["payers"]]})


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What came of a plan: all payments were acknowledged, `seconds` is until the last answer."""

    acknowledged: int
    seconds: float
    cpu_seconds: float
    latencies_seconds: list[float]
    transactions: list[tuple[str, str]] = field(default_factory=list)
    """Id and time of each single payment, kept for paced plans only."""

    def dumps(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, text: str) -> "LoadReport":
        return cls(**json.loads(text))

    def round(self) -> Round:
        return Round(self.acknowledged, self.seconds, self.latencies_seconds)
