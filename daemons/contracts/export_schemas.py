"""`python -m daemons.contracts.export_schemas FOLDER`: write the JSON Schema of every event's data."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from daemons.contracts.events import DATA_MODELS
from daemons.contracts.names import EventType

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(event_type: EventType) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of one type's data."""
    return {"$schema": _DIALECT, **DATA_MODELS[event_type].model_json_schema(mode="serialization")}


def schema_text(event_type: EventType) -> str:
    """Return the schema as it is published."""
    return json.dumps(schema_of(event_type), indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str]) -> None:
    """Write `<type>.json` for every type into the folder."""
    [folder] = arguments
    for event_type in EventType:
        (Path(folder) / f"{event_type.value}.json").write_text(schema_text(event_type), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
