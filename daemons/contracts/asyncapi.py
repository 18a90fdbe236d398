"""The AsyncAPI 3 document of all events: a channel per topic, and the message with its headers and schema."""

import json
from typing import Any

from daemons.contracts.events.contract import EventContract
from daemons.contracts.events.table import CONTRACTS

FILE_NAME = "asyncapi.json"
_TEXT = {"type": "string"}
_HEADERS = {
    "type": "object",
    "required": ["ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "content-type"],
    "properties": {
        "ce_specversion": {"const": "1.0"},
        "ce_id": {"type": "string", "format": "uuid"},
        "ce_type": _TEXT,
        "ce_source": {"type": "string", "maxLength": 200},
        "ce_bankid": {"type": "string", "format": "uuid"},
        "ce_time": {"type": "string", "format": "date-time"},
        "content-type": {"const": "application/json"},
    },
}


def document() -> dict[str, Any]:
    """Return the document; the schemas are in files of their own beside it."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Events of bankctl",
            "version": "1",
            "description": "CloudEvents 1.0 in binary mode on Kafka; the rules are in README.md.",
        },
        "defaultContentType": "application/json",
        "channels": {contract.event_type.value: _channel(contract) for contract in CONTRACTS.values()},
        "operations": {
            f"publish{contract.event_type.value}": _operation(contract) for contract in CONTRACTS.values()
        },
        "components": {
            "messages": {contract.event_type.value: _message(contract) for contract in CONTRACTS.values()},
            "schemas": {"headers": _HEADERS},
        },
    }


def text() -> str:
    """Return the document as it is published."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def _channel(contract: EventContract) -> dict[str, Any]:
    name = contract.event_type.value
    return {
        "address": name,
        "title": name,
        "summary": contract.summary,
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        "bindings": {"kafka": {"topic": name, "partitions": 6, "bindingVersion": "0.5.0"}},
    }


def _operation(contract: EventContract) -> dict[str, Any]:
    name = contract.event_type.value
    return {
        "action": "send",
        "summary": contract.summary,
        "channel": {"$ref": f"#/channels/{name}"},
        "messages": [{"$ref": f"#/channels/{name}/messages/{name}"}],
    }


def _message(contract: EventContract) -> dict[str, Any]:
    name = contract.event_type.value
    return {
        "name": name,
        "title": f"{name}, version {contract.version}",
        "summary": contract.summary,
        "contentType": "application/json",
        "headers": {"$ref": "#/components/schemas/headers"},
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": {"$ref": f"./{name}.json"},
        },
        "bindings": {
            "kafka": {"key": {"type": "string", "description": contract.key}, "bindingVersion": "0.5.0"}
        },
        "examples": [{"name": "example", "payload": contract.example.model_dump(mode="json")}],
    }
