"""`python -m tests.support.released_events`: keep schema and sample of every version of an event that is new.

What was released is never written again: consumers and stored events rely on it.
"""

import json
from pathlib import Path
from typing import Any

from daemons.contracts.events.contract import EventContract
from daemons.contracts.events.table import CONTRACTS

FOLDER = Path(__file__).parents[1] / "released_events"


def file_of(contract: EventContract) -> Path:
    return FOLDER / f"{contract.event_type.value}.{contract.version}.json"


def schema_of(contract: EventContract) -> dict[str, Any]:
    """What a version promises: the form of its data, and not the words that describe it."""
    without_words: dict[str, Any] = _without_words(contract.model.model_json_schema(mode="serialization"))
    return without_words


def _without_words(node: Any) -> Any:
    if isinstance(node, dict):
        # Where the names of fields stand, none of them is a word about a field.
        return {
            name: {field: _without_words(inner) for field, inner in value.items()}
            if name in {"properties", "$defs"}
            else _without_words(value)
            for name, value in node.items()
            if name not in {"description", "title", "examples"}
        }
    return [_without_words(inner) for inner in node] if isinstance(node, list) else node


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for contract in CONTRACTS.values():
        kept = {"schema": schema_of(contract), "samples": [contract.example.model_dump(mode="json")]}
        file = file_of(contract)
        if not file.exists():
            file.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
