"""Classes of bad input: each spoils a request that would otherwise be well-formed.

Whatever a class makes of a request that changes something, it must not be carried out.
"""

from tests.evidence.bad_input import bodies, credentials, fields, headers, lines, money, targets
from tests.evidence.bad_input.draft import BadInput, Draft

__all__ = ["CLASSES", "BadInput", "Draft"]

CLASSES: list[BadInput] = [
    *bodies.CLASSES,
    *fields.CLASSES,
    *money.CLASSES,
    *headers.CLASSES,
    *credentials.CLASSES,
    *targets.CLASSES,
    *lines.CLASSES,
]
