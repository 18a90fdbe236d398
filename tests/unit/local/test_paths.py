import stat
from pathlib import Path

import pytest

from bankctl import paths


def test_bankctl_home_moves_everything_but_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BANKCTL_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "usual"))
    monkeypatch.setenv("BANKCTL_HOME", str(tmp_path / "home"))

    assert paths.config_dir() == tmp_path / "home" / "config"
    assert paths.data_dir() == tmp_path / "home" / "data"
    assert paths.state_dir() == tmp_path / "home" / "state"
    assert tmp_path / "home" not in paths.cache_dir().parents


def test_bankctl_cache_moves_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BANKCTL_CACHE", str(tmp_path / "cache"))

    assert paths.cache_dir() == tmp_path / "cache"


def test_folders_are_for_the_owner_alone_even_if_they_were_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANKCTL_HOME", str(tmp_path))
    (tmp_path / "state").mkdir(mode=0o755)

    assert stat.S_IMODE(paths.state_dir().stat().st_mode) == 0o700
