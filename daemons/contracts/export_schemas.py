"""`python -m daemons.contracts.export_schemas FOLDER`: write the JSON Schemas of all events, and AsyncAPI."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from daemons.contracts import asyncapi
from daemons.contracts.events.contract import EventContract
from daemons.contracts.events.table import CONTRACTS

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(contract: EventContract) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of one type's data, named by its version, with its example."""
    return {
        "$schema": _DIALECT,
        "$id": contract.schema_id,
        **contract.model.model_json_schema(mode="serialization"),
        "examples": [contract.example.model_dump(mode="json")],
    }


def schema_text(contract: EventContract) -> str:
    """Return the schema as it is published."""
    return json.dumps(schema_of(contract), indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str]) -> None:
    """Write `<type>.json` for every type, and the AsyncAPI document, into the folder."""
    [folder] = arguments
    (Path(folder) / asyncapi.FILE_NAME).write_text(asyncapi.text(), encoding="utf-8")
    for event_type, contract in CONTRACTS.items():
        (Path(folder) / f"{event_type.value}.json").write_text(schema_text(contract), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
