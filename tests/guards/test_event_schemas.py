"""The published schemas are those of the models, and what is published as an event meets them."""

import json
from pathlib import Path

import jsonschema
import pytest

from daemons.contracts import asyncapi
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
    files = {file.name for file in _FOLDER.glob("*.json")}
    assert files == {f"{event_type.value}.json" for event_type in EventType} | {asyncapi.FILE_NAME}
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


def test_the_asyncapi_document_is_up_to_date_and_whole() -> None:
    published = (_FOLDER / asyncapi.FILE_NAME).read_text(encoding="utf-8")
    assert published == asyncapi.text(), "the contracts have changed: make docs"
    document = json.loads(published)
    assert set(document["channels"]) == {event_type.value for event_type in EventType}
    for reference in _references(document):
        if reference.startswith("#/"):
            found = document
            for name in reference.removeprefix("#/").split("/"):
                found = found[name]
        else:
            assert (_FOLDER / reference).is_file(), reference


@pytest.mark.parametrize("event_type", EventType)
def test_the_example_of_an_event_meets_its_schema(event_type: EventType) -> None:
    document = json.loads((_FOLDER / asyncapi.FILE_NAME).read_text(encoding="utf-8"))
    message = document["components"]["messages"][event_type.value]
    schema = json.loads((_FOLDER / message["payload"]["schema"]["$ref"]).read_text(encoding="utf-8"))
    [example] = message["examples"]
    jsonschema.Draft202012Validator(schema).validate(example["payload"])


def _references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [value for name, value in node.items() if name == "$ref"]
        return own + [found for value in node.values() for found in _references(value)]
    return [found for inner in node for found in _references(inner)] if isinstance(node, list) else []
