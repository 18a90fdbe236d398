"""Policies of tests: only what a test is about waits for a second person."""

from collections.abc import Mapping
from typing import Any

from daemons.shared.approvals.policy import ALWAYS_GUARDED, COUNTED, GuardedAct


def asking_for(
    *acts: str,
    alone: Mapping[str, Any] | None = None,
    at_most: Mapping[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Return a policy in which these acts wait, those that are counted beyond what one may do alone."""
    rules: dict[str, Any] = {act.value: {"approval": "never"} for act in set(GuardedAct) - ALWAYS_GUARDED}
    for act in acts:
        rules[act] = {"approval": "always", "at_most": dict(at_most or {})}
        if act in COUNTED and alone is not None:
            rules[act] |= {"approval": "beyond", "alone": dict(alone)}
    return {"acts": rules, "reading_hours": 0, **more}
