"""Going on with a session: who exchanges the refresh cookie, and what is kept of it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bankctl.auth.session import StoredSession, load_session, save_session
from bankctl.client import renewal
from bankctl.client.credentials import Credentials
from bankctl.client.renewal import SessionRenewal
from bankctl.config import Profile, load_profile, upsert_profile
from bankctl.errors import CliError, ExitStatus

KEPT = StoredSession(
    "https://bank.example",
    "old",
    "user-1",
    "ann@example.com",
    "Ann",
    "user",
    "soon",
    "refresh-old",
    5.0,
    "bank",
)
ENDED = CliError("ended", exit_status=ExitStatus.NOT_LOGGED_IN, code="session_ended")
AWAY = CliError("away", exit_status=ExitStatus.UNREACHABLE, code="unreachable")


@pytest.fixture
def profile(home: Path) -> Profile:
    upsert_profile("test", url="https://bank.example", ca_file=None)
    return load_profile("test")


class Http:
    """A transport whose exchange gives these cookies, or raises; it notes what was offered."""

    def __init__(self, profile: Profile, *cookies: str, fault: CliError | None = None) -> None:
        self.profile = profile
        self.credentials = Credentials.of(KEPT)
        self.offered: list[Mapping[str, str]] = []
        self._cookies, self._fault = cookies, fault

    def exchange(self, header: Mapping[str, str]) -> Any:
        self.offered.append(header)
        if self._fault is not None:
            raise self._fault
        self.credentials.take(self._cookies)
        user = {"display_name": "Ann Lee", "role": "support"}
        return SimpleNamespace(data={"user": user, "session": {"expires_at": "later"}})


def given(cookie: str, refresh: str) -> tuple[str, str]:
    return f"__Host-bankctl={cookie}; Max-Age=600", f"__Host-bankctl-refresh={refresh}; Max-Age=28800"


def renews(http: Http) -> bool:
    return SessionRenewal(http, KEPT)()  # type: ignore[arg-type]


def test_the_exchange_is_kept_and_used(profile: Profile) -> None:
    save_session(profile, KEPT)
    http = Http(profile, *given("new", "refresh-new"))
    assert renews(http) is True
    assert http.offered == [{"Cookie": "__Host-bankctl-refresh=refresh-old"}]
    kept = load_session(profile)
    assert kept is not None
    assert kept.cookie_expires_at is not None
    assert kept.cookie_expires_at > 1_000_000
    assert kept == replace(
        KEPT,
        cookie="new",
        refresh_cookie="refresh-new",
        cookie_expires_at=kept.cookie_expires_at,
        display_name="Ann Lee",
        role="support",
        expires_at="later",
    )
    assert http.credentials == Credentials("new", "refresh-new", kept.cookie_expires_at)


def test_what_another_command_has_exchanged_is_taken_over(profile: Profile) -> None:
    save_session(profile, replace(KEPT, cookie="theirs", refresh_cookie="refresh-theirs"))
    http = Http(profile)
    assert renews(http) is True
    assert (http.offered, http.credentials.cookie) == ([], "theirs")
    assert http.credentials.refresh_cookie == "refresh-theirs"


def test_a_second_renewal_offers_what_the_first_one_got(profile: Profile) -> None:
    save_session(profile, KEPT)
    http = Http(profile, *given("new", "refresh-new"))
    renewal_of = SessionRenewal(http, KEPT)  # type: ignore[arg-type]
    assert renewal_of()
    http._cookies = given("newer", "refresh-newer")
    assert renewal_of()
    assert [header["Cookie"].partition("=")[2] for header in http.offered] == ["refresh-old", "refresh-new"]


@pytest.mark.parametrize("kept", [None, replace(KEPT, user_id="user-2")])
def test_nobody_goes_on_as_another_person(profile: Profile, kept: StoredSession | None) -> None:
    if kept is not None:
        save_session(profile, kept)
    http = Http(profile, *given("new", "refresh-new"))
    assert renews(http) is False
    assert (http.offered, http.credentials.cookie, load_session(profile)) == ([], "old", kept)


@pytest.mark.parametrize(
    ("cookies", "refresh"),
    [
        (given("new", "refresh-new"), None),
        (given("", "refresh-new"), "refresh-old"),
        (given("old", "refresh-new"), "refresh-old"),
        ((), "refresh-old"),
    ],
)
def test_without_another_cookie_the_session_is_over(
    profile: Profile, cookies: tuple[str, ...], refresh: str | None
) -> None:
    kept = replace(KEPT, refresh_cookie=refresh)
    save_session(profile, kept)
    http = Http(profile, *cookies)
    assert renews(http) is False
    assert load_session(profile) == kept
    assert len(http.offered) == (refresh is not None)


def test_a_session_that_the_bank_has_ended_is_over(profile: Profile) -> None:
    save_session(profile, KEPT)
    assert renews(Http(profile, fault=ENDED)) is False


def test_a_bank_that_is_away_has_ended_nothing(profile: Profile) -> None:
    save_session(profile, KEPT)
    with pytest.raises(CliError) as raised:
        renews(Http(profile, fault=AWAY))
    assert raised.value is AWAY
    assert load_session(profile) == KEPT


def test_a_session_that_cannot_be_kept_is_used_and_said(
    profile: Profile, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_session(profile, KEPT)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "/state/test.json")

    monkeypatch.setattr(renewal, "save_session", full)
    http = Http(profile, *given("new", "refresh-new"))
    assert renews(http) is True
    assert http.credentials.cookie == "new"
    said = " ".join(capsys.readouterr().err.split())
    assert (
        "the renewed session cannot be written to /state/test.json: No space left on device; "
        "the next command will need `bankctl login`"
    ) in said
