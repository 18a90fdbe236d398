"""How clients of Kafka behave while the broker is away: they keep trying, and say so now and then."""

import logging
from typing import Any

LIBRARY_LOG = logging.getLogger("kafka")
"""Where the library's own messages go, so that they are structured like everything else."""

QUIET_RECONNECTS: dict[str, Any] = {"reconnect.backoff.ms": 100, "reconnect.backoff.max.ms": 2000}
