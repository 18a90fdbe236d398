"""docs/settings.md lists every environment variable that is read, and none that is not."""

import re
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from bankctl.local import identity
from bankctl.local.plan import environment
from bankctl.local.service_keys import CALLING_DAEMONS, make_key
from bankctl.local.settings import DEFAULT_PORTS, Settings
from bankctl.local.stack import EXTERNAL_VARIABLES
from bankctl.topics import TEXTS
from daemons.banking_api.settings import BankingSettings
from daemons.notifier.settings import NotifierSettings
from daemons.shared.kafka_admin import AccountPasswords
from daemons.shared.settings import KafkaSettings
from daemons.user_api.settings import UserApiSettings
from tests.support.environment_reads import ROOT, names_read

DAEMONS: dict[str, type[BaseSettings]] = {
    "user_api": UserApiSettings,
    "banking_api": BankingSettings,
    "notifier": NotifierSettings,
}
DOCUMENT = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
READ_BY_PYTHON = {"NO_PROXY", "no_proxy", "PATH"}
SHOWN_OTHERWISE = {
    "MONGO_DATABASE": "the daemon's name",
    "STAFF_POLICY": "the built-in policy",
}


def rows_of(section: str) -> list[list[str]]:
    [text] = re.findall(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in text.splitlines()
        if line.startswith("| `")
    ]


def named_in(section: str) -> list[str]:
    return [name for row in rows_of(section) for name in re.findall(r"`(\w+)`", row[0])]


def shown(name: str, field: FieldInfo) -> str:
    """How the document writes a default."""
    default: Any = field.default
    if name in SHOWN_OTHERWISE:
        return SHOWN_OTHERWISE[name]
    if default is PydanticUndefined:
        return "required"
    if isinstance(default, dict) and default:
        return f"`{','.join(f'{key}={Decimal(value):f}' for key, value in default.items())}`"
    assert not isinstance(default, Enum)
    value = getattr(default, "get_secret_value", lambda: default)()
    text = "" if value is None or value == {} else str(value)
    return f"`{text}`" if text else "empty"


def settings_of_daemons() -> dict[str, tuple[str, str]]:
    """The daemons and the default of each variable."""
    readers: dict[str, list[str]] = {}
    defaults: dict[str, str] = {}
    for daemon, settings in DAEMONS.items():
        for field_name, field in settings.model_fields.items():
            name = (field.alias or field_name).upper()
            readers.setdefault(name, []).append(daemon)
            defaults[name] = shown(name, field)
    return {
        name: ("all" if len(of) == len(DAEMONS) else ", ".join(of), defaults[name])
        for name, of in readers.items()
    }


def test_each_setting_of_a_daemon_stands_there_with_its_readers_and_its_default() -> None:
    for_preparing_kafka = {
        name.upper() for name in {*AccountPasswords.model_fields} - {*KafkaSettings.model_fields}
    }
    written = {row[0].strip("`"): (row[1], row[2]) for row in rows_of("Daemons") if len(row) == 4}
    assert written == settings_of_daemons()
    assert set(named_in("Daemons")) == {*written, *for_preparing_kafka}


def test_every_class_of_settings_is_one_that_the_document_covers() -> None:
    covered = {one.__name__ for settings in (*DAEMONS.values(), AccountPasswords) for one in settings.__mro__}
    files = [*(ROOT / "daemons").rglob("*.py"), *(ROOT / "bankctl").rglob("*.py")]
    written = {
        name
        for path in files
        for name in re.findall(r"^class (\w+)\(.*Settings\b.*\):", path.read_text(), re.MULTILINE)
    }
    assert {"StoreSettings", "NotifierSettings"} <= written
    assert written <= covered


def test_each_variable_that_the_command_line_reads_stands_there() -> None:
    read = names_read("bankctl") | {identity.STACK_MARK, identity.PART_MARK, identity.FINGERPRINT_MARK}
    written = {*named_in("Command line"), *named_in("Local stack")}
    assert read - written == set()
    assert written - read - READ_BY_PYTHON - names_read("daemons") == set()


def test_daemons_read_nothing_past_their_settings_but_what_the_local_stack_tells_their_tools() -> None:
    assert names_read("daemons") == {"ACCOUNTS", "MONGO_URI"}
    assert "ACCOUNTS" in named_in("Local stack")


def test_each_variable_of_the_gateway_stands_there_with_its_default() -> None:
    files = [ROOT / "deploy" / "Caddyfile", *(ROOT / "bankctl" / "local").glob("*addy*")]
    found = re.findall(
        r"\{\$(\w+)(?::([^}]*))?\}", "".join(path.read_text() for path in files if path.is_file())
    )
    assert {name for name, _ in found} == set(named_in("Gateway"))
    defaults = {name: default for name, default in found if default}
    written = {row[0].strip("`"): row[1].strip("`") for row in rows_of("Gateway")}
    assert {name: written[name] for name in defaults} == defaults


def test_each_variable_of_the_compose_file_stands_there() -> None:
    used = re.findall(r"\$\{(\w+)", Path(ROOT / "compose.yaml").read_text(encoding="utf-8"))
    assert set(used) == set(named_in("compose.yaml"))


def test_the_help_names_only_variables_of_the_document() -> None:
    in_help = set(re.findall(r"^([A-Z_]{2,})  ", TEXTS["environment"], re.MULTILINE))
    assert in_help <= set(named_in("Command line"))
    assert {name for name in named_in("Command line") if name.startswith("BANKCTL_")} <= in_help


@pytest.mark.parametrize("daemon", DAEMONS)
def test_the_local_stack_passes_every_setting_on(daemon: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {name.upper() for name in DAEMONS[daemon].model_fields}
    for name in names:
        monkeypatch.setenv(name, "given")
    stack = Settings(
        "id", dict(DEFAULT_PORTS), "s" * 40, {name: make_key() for name in CALLING_DAEMONS}, make_key()
    )
    external = dict.fromkeys(EXTERNAL_VARIABLES, "given")
    assert names - {*environment(stack, external, daemon)} <= {"JWT_SECRET_PREVIOUS"}
