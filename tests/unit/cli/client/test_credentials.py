"""Credentials and long answers: what is sent, what is kept of an answer, and what a cut line means."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from bankctl.auth.session import StoredSession
from bankctl.client import credentials as credentials_module
from bankctl.client import long_answers
from bankctl.client.credentials import Credentials
from bankctl.client.long_answers import fetch_with_progress
from bankctl.errors import CliError, ExitStatus

NOW = 1_000_000.0


@pytest.fixture
def _at_a_known_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials_module, "time", SimpleNamespace(time=lambda: NOW))


class TestHeaders:
    def test_a_session_sends_its_cookie(self) -> None:
        kept = Credentials.of(StoredSession("https://b", "c", "u", "a@b", "A", "user", "x", "r", 7.5))
        assert (kept.cookie, kept.refresh_cookie, kept.cookie_expires_at) == ("c", "r", 7.5)
        assert kept.header() == {"Cookie": "__Host-bankctl=c"}
        assert kept.refresh_header() == {"Cookie": "__Host-bankctl-refresh=r"}
        assert (kept.api_key, kept.device_cookie) == (None, None)

    def test_an_api_key_goes_alone(self) -> None:
        assert Credentials(cookie="c", api_key="bk_x").header() == {"Authorization": "Bearer bk_x"}

    def test_who_has_nothing_sends_nothing(self) -> None:
        assert (Credentials().header(), Credentials().device_header()) == ({}, {})
        assert Credentials(device_cookie="d").device_header() == {"Cookie": "__Host-bankctl-device=d"}

    def test_no_secret_is_shown(self) -> None:
        shown = repr(Credentials("secret", "secret", 1.0, "secret", "secret"))
        assert shown == "Credentials(cookie_expires_at=1.0)"


@pytest.mark.usefixtures("_at_a_known_time")
class TestCookies:
    @pytest.mark.parametrize(
        ("expires_at", "ends"), [(None, False), (NOW + 31, False), (NOW + 30, False), (NOW + 29, True)]
    )
    def test_they_end_soon_or_not(self, expires_at: float | None, *, ends: bool) -> None:
        assert Credentials(cookie_expires_at=expires_at).end_within(30) is ends

    def test_what_the_bank_gives_is_kept(self) -> None:
        kept = Credentials()
        kept.take(
            [
                "__Host-bankctl=a.b; Max-Age=600; Path=/; Secure",
                "__Host-bankctl-refresh=r; Max-Age=28800; Path=/; Secure",
                "__Host-bankctl-device=d; Max-Age=1; Path=/; Secure",
                "other=x; Max-Age=1",
            ]
        )
        assert kept == Credentials("a.b", "r", NOW + 600, None, "d")

    def test_an_answer_without_cookies_changes_nothing(self) -> None:
        kept = Credentials("c", "r", 5.0, "k", "d")
        kept.take(["other=x", "a[b=c; Path=/"])
        assert kept == Credentials("c", "r", 5.0, "k", "d")

    def test_a_header_that_is_no_cookie_hides_no_other(self) -> None:
        kept = Credentials()
        kept.take(["a(b=c", "expires=x", "__Host-bankctl=c"])
        assert kept.cookie == "c"

    def test_empty_cookies_are_taken_back(self) -> None:
        kept = Credentials("c", "r", 5.0, None, "d")
        kept.take([f'__Host-bankctl{part}=""; Max-Age=0' for part in ("", "-refresh", "-device")])
        assert kept == Credentials(None, None, NOW, None, None)

    def test_a_cookie_without_an_end_has_none(self) -> None:
        kept = Credentials(cookie_expires_at=5.0)
        kept.take(["__Host-bankctl=c; Path=/"])
        assert (kept.cookie, kept.cookie_expires_at) == ("c", None)


PROGRESS = {"progress": {"phase": "journal", "done": 3, "total": 9}}
RESULT = {"result": {"holds": True}}
AWAY = CliError("away", exit_status=ExitStatus.UNREACHABLE, code="unreachable")


class Transport:
    """Streams one answer after the other; a line that is an error cuts it there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: list[Any] | CliError | str) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, Mapping[str, Any], str, float]] = []
        self.pauses: list[float] = []
        monkeypatch.setattr(
            long_answers, "time", SimpleNamespace(sleep=self.pauses.append, monotonic=time.monotonic)
        )

    @contextmanager
    def stream(
        self,
        path: str,
        *,
        params: Mapping[str, Any],
        headers: Mapping[str, str],
        idle_seconds: float,
        body: object = None,
    ) -> Iterator[Any]:
        assert body is None
        self.asked.append((path, params, headers["Accept"], idle_seconds))
        answer = self.answers.pop(0)
        if isinstance(answer, CliError):
            raise answer
        if isinstance(answer, str):
            yield httpx.Response(200, content=answer.encode())
            return

        def lines() -> Iterator[str]:
            for line in answer:
                if isinstance(line, CliError):
                    raise line
                yield line if isinstance(line, str) else json.dumps(line)

        headers = {"Content-Type": "application/x-ndjson; charset=utf-8", "X-Request-Id": "r-1"}
        yield SimpleNamespace(headers=headers, iter_lines=lines)

    def fetch(self) -> tuple[dict[str, Any], list[tuple[str, int, int]]]:
        told: list[tuple[str, int, int]] = []
        found = fetch_with_progress(
            self,  # type: ignore[arg-type]
            "/ledger/proof",
            on_progress=lambda *progress: told.append(progress),
        )
        return found, told

    def fault(self) -> CliError:
        with pytest.raises(CliError) as raised:
            self.fetch()
        return raised.value


class TestLongAnswers:
    def test_progress_is_told_until_the_result(self, monkeypatch: pytest.MonkeyPatch) -> None:
        more = {"progress": {"phase": "sums", "done": "4", "total": "9"}}
        bank = Transport(monkeypatch, [PROGRESS, "", more, RESULT, PROGRESS])
        assert bank.fetch() == ({"holds": True}, [("journal", 3, 9), ("sums", 4, 9)])
        assert bank.asked == [("/ledger/proof", {}, "application/x-ndjson, application/json;q=0.5", 30.0)]

    def test_one_answer_is_taken_as_well(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert Transport(monkeypatch, '{"holds": false}').fetch() == ({"holds": False}, [])

    @pytest.mark.parametrize("text", ["<html>", "[]", "7", ""])
    def test_what_is_no_answer_of_a_bank_is_told_as_such(
        self, monkeypatch: pytest.MonkeyPatch, text: str
    ) -> None:
        error = Transport(monkeypatch, text).fault()
        assert (error.code, error.exit_status) == ("not_json", ExitStatus.UNEXPECTED)
        assert error.message == "the answer cannot be read; is this really the bank's gateway?"
        assert error.hint == "`bankctl doctor` compares versions"

    def test_a_problem_is_raised_with_the_id_of_the_request(self, monkeypatch: pytest.MonkeyPatch) -> None:
        problem = {"code": "unavailable", "category": "transient", "detail": "away"}
        bank = Transport(monkeypatch, [PROGRESS, {"problem": problem}])
        error = bank.fault()
        assert (error.code, error.exit_status) == ("unavailable", ExitStatus.UNREACHABLE)
        assert error.request_id == "r-1"
        assert len(bank.asked) == 1

    def test_a_line_that_is_cut_says_nothing_of_the_result(self, monkeypatch: pytest.MonkeyPatch) -> None:
        bank = Transport(monkeypatch, [PROGRESS], [RESULT])
        error = bank.fault()
        assert (error.code, error.exit_status) == ("line_cut", ExitStatus.UNREACHABLE)
        assert error.message == (
            "the connection was lost before /ledger/proof was answered; the partial answer proves nothing"
        )
        assert error.hint == "run it again; `bankctl doctor` shows what is wrong"
        assert (len(bank.asked), bank.pauses) == (1, [])
        assert Transport(monkeypatch, [PROGRESS, AWAY], [RESULT]).fault() is AWAY

    def test_a_bank_that_is_away_is_asked_again_a_few_times(self, monkeypatch: pytest.MonkeyPatch) -> None:
        bank = Transport(monkeypatch, AWAY, [], [RESULT])
        assert bank.fetch() == ({"holds": True}, [])
        assert bank.pauses == [0.5, 1.0]
        bank = Transport(monkeypatch, AWAY, AWAY, AWAY, [RESULT])
        assert bank.fault() is AWAY
        assert (len(bank.asked), bank.pauses) == (3, [0.5, 1.0])

    def test_a_refusal_is_final(self, monkeypatch: pytest.MonkeyPatch) -> None:
        refused = CliError("no", exit_status=ExitStatus.FORBIDDEN, code="forbidden")
        bank = Transport(monkeypatch, refused, [RESULT])
        assert bank.fault() is refused
        assert len(bank.asked) == 1
