"""Every version of an event that was ever released is kept, unchanged, and is still read."""

import json
from pathlib import Path
from uuid import UUID

import pytest

from daemons.contracts.events.contract import EventContract
from daemons.contracts.events.table import CONTRACTS
from daemons.contracts.names import EventType
from daemons.notifier.event_log.decoding import decode
from daemons.shared.clock import utc_now
from daemons.shared.ids import new_id
from daemons.shared.kafka.records import OutgoingRecord, event_headers
from tests.support.events import SOURCE, consumed
from tests.support.released_events import FOLDER, file_of, schema_of

RELEASED = sorted(FOLDER.glob("*.json"))


def test_every_type_has_a_contract_under_its_name() -> None:
    assert list(CONTRACTS) == list(EventType)
    assert [contract.model.__name__ for contract in CONTRACTS.values()] == [*EventType]
    assert all(type(contract.example) is contract.model for contract in CONTRACTS.values())


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=lambda contract: contract.event_type.value)
def test_a_changed_model_is_a_new_version(contract: EventContract) -> None:
    file = file_of(contract)
    assert file.is_file(), (
        f"keep what is released: .venv/bin/python -m tests.support.released_events ({file})"
    )
    released = json.loads(file.read_text(encoding="utf-8"))["schema"]
    assert schema_of(contract) == released, (
        f"version {contract.version} of {contract.event_type.value} is released: raise its version"
    )


def test_no_version_is_missing() -> None:
    assert {file.stem for file in RELEASED} == {
        f"{event_type.value}.{version}"
        for event_type, contract in CONTRACTS.items()
        for version in range(1, contract.version + 1)
    }


@pytest.mark.parametrize("file", RELEASED, ids=lambda file: file.stem)
def test_events_of_every_released_version_are_read(file: Path) -> None:
    event_type = EventType(file.stem.rpartition(".")[0])
    samples = json.loads(file.read_text(encoding="utf-8"))["samples"]
    assert samples
    for sample in samples:
        event_id = UUID(sample["transaction_id"]) if "transaction_id" in sample else new_id()
        headers = event_headers(event_id=event_id, event_type=event_type.value, source=SOURCE, time=utc_now())
        record = OutgoingRecord(event_type.value, "4119038413", json.dumps(sample).encode(), headers)
        event = decode(consumed(record))
        assert event.document.items() >= sample.items()
