import stat
from pathlib import Path

import pytest

from bankctl.errors import CliError, ExitStatus
from bankctl.local import settings
from bankctl.local.layout import Layout
from bankctl.local.settings import DEFAULT_PORTS, PortChoice


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setenv("BANKCTL_HOME", str(tmp_path))
    return Layout.of("local")


def test_the_local_stack_gets_the_well_known_ports(layout: Layout) -> None:
    assert settings.choose(layout, None, None).ports == dict(DEFAULT_PORTS)


def test_any_other_stack_gets_ports_of_its_own(layout: Layout) -> None:
    chosen = settings.choose(Layout.of("second"), None, None).ports

    assert not set(chosen.values()) & set(DEFAULT_PORTS.values())


def test_what_was_chosen_once_is_kept(layout: Layout) -> None:
    first = settings.choose(layout, None, PortChoice.AUTO)
    settings.save(layout, first)

    assert settings.choose(layout, settings.load(layout), PortChoice.AUTO) == first
    assert settings.choose(layout, settings.load(layout), None) == first


def test_a_given_port_wins(layout: Layout) -> None:
    assert settings.choose(layout, None, PortChoice.AUTO, {"gateway": 9443}).ports["gateway"] == 9443


@pytest.mark.parametrize("given", [{"gatewy": 9443}, {"gateway": 0}, {"gateway": 65_536}])
def test_a_port_that_can_not_be_is_a_usage_error(layout: Layout, given: dict[str, int]) -> None:
    with pytest.raises(CliError) as raised:
        settings.choose(layout, None, None, given)

    assert raised.value.exit_status is ExitStatus.USAGE


def test_secrets_are_for_the_owner_alone_and_are_not_shown(layout: Layout) -> None:
    chosen = settings.choose(layout, None, None)
    settings.save(layout, chosen)

    assert stat.S_IMODE(layout.settings.stat().st_mode) == 0o600
    assert stat.S_IMODE(layout.root.stat().st_mode) == 0o700
    assert len(chosen.jwt_secret) >= 64
    assert settings.load(layout) == chosen
    assert len(set(chosen.service_keys.values())) == 3
    secrets = (chosen.jwt_secret, *chosen.service_keys.values())
    assert not [secret for secret in secrets if secret in repr(chosen)]


def test_a_damaged_file_is_named_with_what_to_do(layout: Layout) -> None:
    layout.create()
    layout.settings.write_text("{")

    with pytest.raises(CliError, match=r"stack\.json is damaged") as raised:
        settings.load(layout)

    assert "dev reset" in (raised.value.hint or "")


@pytest.mark.parametrize("name", ["", "../x", "Big", "a/b", "-x", "a" * 33])
def test_a_stack_s_name_can_not_leave_its_folder(name: str) -> None:
    with pytest.raises(CliError):
        Layout.of(name)


def test_a_large_log_is_set_aside(layout: Layout) -> None:
    layout.create()
    log = layout.log("kafka")
    with log.open("wb") as file:
        file.truncate(11 * 1024 * 1024)

    assert layout.rotate("kafka") == log
    assert not log.exists()
    assert (layout.root / "logs" / "kafka.log.1").exists()
