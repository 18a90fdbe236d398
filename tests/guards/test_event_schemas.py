"""The published schemas are those of the models, and what is published as an event meets them."""

import json
from pathlib import Path

import jsonschema
import pytest

from daemons.contracts.events.table import CONTRACTS
from daemons.contracts.export_schemas import schema_text
from daemons.contracts.names import EventType
from daemons.contracts.wire import WireModel
from daemons.shared.ids import new_id
from tests.support.events import adjusted, changed, completed, failed, funded

_FOLDER = Path(__file__).parents[2] / "docs" / "events"
_ID = new_id()


@pytest.mark.parametrize("event_type", EventType)
def test_the_published_schema_is_the_models(event_type: EventType) -> None:
    published = (_FOLDER / f"{event_type.value}.json").read_text(encoding="utf-8")
    assert published == schema_text(CONTRACTS[event_type]), (
        "the models have changed: .venv/bin/python -m daemons.contracts.export_schemas docs/events"
    )


def test_every_type_and_nothing_else_is_published() -> None:
    readme = (_FOLDER / "README.md").read_text(encoding="utf-8")
    assert {file.stem for file in _FOLDER.glob("*.json")} == {event_type.value for event_type in EventType}
    assert all(f"[{event_type.value}]({event_type.value}.json)" in readme for event_type in EventType)


@pytest.mark.parametrize(
    "data", [completed(_ID), failed(_ID), funded(_ID), adjusted(_ID), changed("frozen", reason="lost")]
)
def test_events_meet_their_schema(data: WireModel) -> None:
    schema = json.loads((_FOLDER / f"{type(data).__name__}.json").read_text(encoding="utf-8"))
    document = json.loads(data.model_dump_json())
    jsonschema.Draft202012Validator(schema).validate(document)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate({**document, "more": 1})
