"""A column of a table: which field, under which heading, how it is set."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: the dotted path of its value, its heading, and how it is shown.

    On a terminal that is too narrow for all columns, those of the highest rank are left out first, those of
    rank 0 never. A text that may be `cut` ends in an ellipsis where it has no room; others are wrapped.
    """

    path: str
    heading: str
    justify: Literal["left", "right"] = "left"
    style: str | None = None
    rank: int = 0
    cut: bool = False

    def value(self, row: Mapping[str, Any]) -> Any:
        """The value at the path, None where a step is missing."""
        found: Any = row
        for step in self.path.split("."):
            if not isinstance(found, Mapping):
                return None
            found = found.get(step)
        return found
