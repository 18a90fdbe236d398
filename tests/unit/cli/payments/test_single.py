"""Delivery of one payment: when its outcome is final, when it is doubted, and what is kept until then."""

import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import stamina

from bankctl.client import failures
from bankctl.client.credentials import Credentials
from bankctl.client.failures import (
    Certainty,
    clock_skew,
    earlier_outcome,
    line_failed,
    not_json,
    outcome_unknown,
    refused,
    skew_text,
)
from bankctl.client.http import Answer, Transport
from bankctl.config import Profile, load_profile, upsert_profile
from bankctl.errors import CliError, ExitStatus
from bankctl.payments import pending as pending_module
from bankctl.payments.pending import (
    PendingTransfer,
    check_key,
    list_pending,
    load_pending,
    pending_file,
    remove_pending,
    write_pending,
)
from bankctl.payments.single import begin_transfer, finish_transfer, tell_done

REQUEST = {"from_account": "4000000006", "to_account": "1234567894", "amount": "5.00", "currency": "EUR"}
PATH = "/transactions/transfer"
SENT = PendingTransfer("key-1", "bank-1", "user-1", PATH, REQUEST, "2026-11-29T10:00:00+00:00")
RETRY = "`bankctl transactions retry key-1` settles it; it pays at most once"


def error_of(status: ExitStatus) -> CliError:
    details = {"field": "x"}
    return CliError("told", exit_status=status, code="some", request_id="r-1", hint="h", details=details)


def keep(key: str = "key-1", **changes: Any) -> PendingTransfer:
    asked = {"bank_id": "bank-1", "user_id": "user-1", "path": PATH, "request": REQUEST, **changes}
    return write_pending(key, **asked)


class TestKeeping:
    """A transfer is on the disk before it is sent."""

    def test_it_is_there_as_it_is_sent(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        kept = keep()
        path = home / "state" / "pending" / "key-1.json"
        assert pending_file("key-1") == path
        assert json.loads(path.read_text()) == asdict(kept)
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        assert load_pending("key-1") == kept == replace(SENT, written_at=kept.written_at)
        assert kept.written_at.endswith("+00:00")
        assert load_pending("key-2") is None

    @pytest.mark.parametrize(
        "change",
        [
            {"bank_id": "bank-2"},
            {"user_id": "user-2"},
            {"path": "/accounts/4000000006/fund"},
            {"request": {**REQUEST, "amount": "6.00"}},
        ],
    )
    def test_its_key_is_given_to_no_other(self, change: Mapping[str, Any]) -> None:
        keep()
        with pytest.raises(CliError) as refusal:
            keep(**change)
        error = refusal.value
        assert (error.exit_status, error.code) == (ExitStatus.USAGE, "idempotency_key_pending")
        assert (
            error.message
            == "the idempotency key 'key-1' belongs to another transfer whose outcome is still unknown"
        )
        assert error.hint == "`bankctl transactions retry key-1` settles it"
        kept = load_pending("key-1")
        assert kept is not None
        assert (kept.bank_id, kept.user_id, kept.path, kept.request) == ("bank-1", "user-1", PATH, REQUEST)

    def test_the_same_one_may_be_begun_again(self) -> None:
        first = keep()
        again = keep()
        assert replace(again, written_at=first.written_at) == first
        assert again.written_at >= first.written_at

    def test_any_key_has_a_file_of_its_own(self, home: Path) -> None:
        keys = ["a", "A", "a/b", "../a", ".a", "a.json", "-", "x" * 100, "x" * 101, "x" * 128, "~!", "a b"]
        paths = [pending_file(key) for key in keys]
        assert len(set(paths)) == len(keys)
        assert {path.parent for path in paths} == {home / "state" / "pending"}
        plain = [path.stem == key for path, key in zip(paths, keys, strict=True)]
        assert plain == [key in {"a", "A", "a.json", "-", "x" * 100} for key in keys]
        assert {len(path.stem) for path, is_plain in zip(paths, plain, strict=True) if not is_plain} == {64}

    @pytest.mark.parametrize("key", ["!", "~", "x" * 128, "rent/2026"])
    def test_a_key_is_printable_ascii(self, key: str) -> None:
        assert check_key(key) == key

    @pytest.mark.parametrize("key", ["", " ", "a b", "ü", "x" * 129, "a\n", "\x7f"])
    def test_and_nothing_else(self, key: str) -> None:
        with pytest.raises(CliError) as refusal:
            check_key(key)
        assert (refusal.value.exit_status, refusal.value.code) == (ExitStatus.USAGE, "invalid_key")
        assert refusal.value.message == (
            "an idempotency key must be 1 to 128 printable ASCII characters without spaces"
        )

    def test_a_user_finds_their_own_oldest_first(self) -> None:
        assert list_pending(bank_id="bank-1", user_id="user-1") == []
        kept = [keep(key) for key in ("b", "a", "c")]
        keep("d", bank_id="bank-2")
        keep("e", user_id="user-2")
        assert list_pending(bank_id="bank-1", user_id="user-1") == kept
        assert [one.key for one in list_pending(bank_id="bank-2", user_id="user-1")] == ["d"]

    def test_what_is_settled_is_forgotten(self, monkeypatch: pytest.MonkeyPatch) -> None:
        remove_pending("key-1")
        keep()
        synced: list[Path] = []
        monkeypatch.setattr(pending_module, "sync_directory", synced.append)
        remove_pending("key-1")
        remove_pending("key-1")
        assert load_pending("key-1") is None
        assert synced == [pending_file("key-1").parent] * 2

    def test_what_cannot_be_forgotten_is_told_and_no_failure(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        keep()

        def refuse(_: Path) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(pending_module, "sync_directory", refuse)
        remove_pending("key-1")
        said = " ".join(capsys.readouterr().err.split())
        assert (
            f"the outcome is known, but {pending_file('key-1')} could not be removed: Operation not" in said
        )
        assert "`bankctl transactions retry` will find it and pay nothing twice" in said

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\xff",
            b"[]",
            b"{}",
            b"[" * 100_000,
            *(
                json.dumps({**asdict(SENT), **change}).encode()
                for change in (
                    {"key": 1},
                    {"bank_id": None},
                    {"user_id": 1},
                    {"path": 1},
                    {"written_at": None},
                    {"request": None},
                    {"request": []},
                    {"request": {"amount": 5, "currency": "EUR"}},
                    {"request": {"amount": "5", "currency": None}},
                    {"request": {"currency": "EUR"}},
                    {"more": 1},
                )
            ),
        ],
        ids=lambda content: content[:20],
    )
    def test_a_file_that_was_broken_is_not_sent_and_not_forgotten(self, content: bytes) -> None:
        keep()
        path = pending_file("key-1")
        path.write_bytes(content)
        for read in (
            lambda: load_pending("key-1"),
            lambda: list_pending(bank_id="bank-1", user_id="user-1"),
            keep,
        ):
            with pytest.raises(CliError) as refusal:
                read()
            assert (refusal.value.exit_status, refusal.value.code) == (
                ExitStatus.USAGE,
                "broken_pending_file",
            )
            assert refusal.value.message.startswith(f"{path} cannot be read: ")
            assert not refusal.value.message.endswith("None")
            assert refusal.value.hint == (
                "it holds a transfer that may have been paid: check `bankctl transactions list`, "
                "then delete the file"
            )
        assert path.read_bytes() == content


class Bank:
    """A bank that answers a movement of money as it is told to, and notes what was on the disk then."""

    bank_id = "bank-1"

    def __init__(self, answer: Answer | BaseException) -> None:
        self.transactions = self
        self.answer = answer
        self.sent: list[tuple[str, Mapping[str, Any], str, bool]] = []

    def require_session(self) -> Any:
        return SimpleNamespace(user_id="user-1")

    def move(
        self, path: str, request: Mapping[str, Any], *, idempotency_key: str, confirmation: str | None
    ) -> Answer:
        assert confirmation is None
        self.sent.append((path, request, idempotency_key, load_pending(idempotency_key) is not None))
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def begin(self, **how: Any) -> Any:
        return begin_transfer(self, REQUEST, key="key-1", **how)  # type: ignore[arg-type]

    def finish(self, *, again: bool) -> Any:
        return finish_transfer(self, keep(), again=again)  # type: ignore[arg-type]


FINAL = [ExitStatus.USAGE, ExitStatus.NOT_FOUND, ExitStatus.CONFLICT, ExitStatus.REJECTED]
NOT_DONE = [ExitStatus.NOT_LOGGED_IN, ExitStatus.FORBIDDEN, ExitStatus.UNREACHABLE]
UNSETTLED = [ExitStatus.OUTCOME_UNKNOWN, ExitStatus.UNEXPECTED]


class TestOutcomes:
    def test_a_payment_is_kept_until_it_is_known(self) -> None:
        bank = Bank(Answer(201, {"id": "t"}, {}))
        settled = bank.begin()
        assert (settled.transaction, settled.replayed) == ({"id": "t"}, False)
        assert bank.sent == [(PATH, REQUEST, "key-1", True)]
        assert load_pending("key-1") is None
        bank.begin(path="/accounts/1/fund")
        assert bank.sent[1][0] == "/accounts/1/fund"

    def test_what_the_bank_had_done_before_is_called_so(self) -> None:
        replayed = Answer(201, {}, {"Idempotent-Replayed": "true"})
        assert Bank(replayed).begin().replayed is True
        # After a line that was cut it may be what this command did.
        assert Bank(replace(replayed, doubted=True)).begin().replayed is False

    @pytest.mark.parametrize("status", UNSETTLED)
    @pytest.mark.parametrize("again", [False, True])
    def test_an_outcome_that_is_not_known_is_never_taken_for_final(
        self, status: ExitStatus, *, again: bool
    ) -> None:
        with pytest.raises(CliError) as raised:
            Bank(error_of(status)).finish(again=again)
        error = raised.value
        assert (error.exit_status, error.code, error.message) == (status, "some", "told")
        assert (error.hint, error.request_id) == (RETRY, "r-1")
        assert error.details == {"field": "x", "idempotency_key": "key-1"}
        assert load_pending("key-1") is not None

    @pytest.mark.parametrize("status", FINAL)
    @pytest.mark.parametrize("again", [False, True])
    def test_a_refusal_is_final(self, status: ExitStatus, *, again: bool) -> None:
        refusal = error_of(status)
        with pytest.raises(CliError) as raised:
            Bank(refusal).finish(again=again)
        assert raised.value is refusal
        assert load_pending("key-1") is None

    @pytest.mark.parametrize("status", NOT_DONE)
    def test_what_was_not_done_settles_only_a_first_sending(self, status: ExitStatus) -> None:
        with pytest.raises(CliError):
            Bank(error_of(status)).begin()
        assert load_pending("key-1") is None
        keep()
        with pytest.raises(CliError):
            Bank(error_of(status)).begin()
        assert load_pending("key-1") is not None, "the first may have been paid"
        with pytest.raises(CliError):
            finish_transfer(Bank(error_of(status)), keep("key-2"))  # type: ignore[arg-type]
        assert load_pending("key-2") is None

    def test_who_interrupts_it_is_told_that_it_may_be_paid(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(KeyboardInterrupt):
            Bank(KeyboardInterrupt()).begin()
        said = " ".join(capsys.readouterr().err.split())
        assert "this may have been paid; settle it with `bankctl transactions retry key-1`" in said
        assert load_pending("key-1") is not None

    def test_what_was_done_and_what_was_done_before_are_told_apart(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        tell_done("paid", replayed=False)
        assert "✓ paid" in capsys.readouterr().err
        tell_done("paid", replayed=True)
        said = " ".join(capsys.readouterr().err.split())
        assert (
            "this is the outcome of an earlier request with the same idempotency key; nothing was done"
            in said
        )
        assert "to try again, use another --idempotency-key, or none" in said
        assert "✓" not in said


@pytest.fixture
def profile(home: Path) -> Profile:
    upsert_profile("test", url="https://127.0.0.1:8443", ca_file=None)
    return load_profile("test")


def response(status: int, document: Mapping[str, Any] | None = None, **headers: str) -> httpx.Response:
    request = httpx.Request(
        "POST", "https://bank.example/transactions/transfer", headers={"X-Request-Id": "sent"}
    )
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json=document, headers=named, request=request)


class TestWhatAnAnswerMeans:
    @pytest.mark.parametrize(
        ("status", "code", "category", "certainty", "retryable"),
        [
            (422, "insufficient_funds", "rejected", Certainty.FINAL, False),
            (404, "account_not_found", "not_found", Certainty.FINAL, False),
            (400, "invalid_request", "invalid", Certainty.FINAL, False),
            (409, "account_frozen", "conflict", Certainty.FINAL, False),
            (409, "idempotency_key_in_use", "conflict", Certainty.UNCERTAIN, True),
            (503, "outcome_unknown", "outcome_unknown", Certainty.UNCERTAIN, True),
            (500, "outcome_unknown", "outcome_unknown", Certainty.UNCERTAIN, True),
            (500, "internal", "internal", Certainty.UNCERTAIN, False),
            (502, "unavailable", "transient", Certainty.UNCERTAIN, True),
            (504, "unavailable", "transient", Certainty.UNCERTAIN, True),
            (503, "unavailable", "transient", Certainty.NOT_DONE, True),
            (429, "rate_limited", "transient", Certainty.NOT_DONE, True),
            (408, "request_timeout", "transient", Certainty.NOT_DONE, False),
            (401, "not_signed_in", "unauthenticated", Certainty.NOT_DONE, False),
            (403, "forbidden", "forbidden", Certainty.NOT_DONE, False),
        ],
    )
    def test_it_is_final_or_not_done_or_not_certain(
        self, status: int, code: str, category: str, certainty: Certainty, *, retryable: bool
    ) -> None:
        failure = refused(response(status, {"code": code, "category": category, "detail": "told"}))
        assert (failure.certainty, failure.retryable) == (certainty, retryable)
        assert (failure.error.code, failure.error.message, failure.error.request_id) == (code, "told", "sent")
        assert (failure.after_seconds, failure.replayed, str(failure)) == (None, False, "told")

    @pytest.mark.parametrize(
        ("document", "header", "seconds", "retryable"),
        [
            ({"retry_after_seconds": 5}, "9", 5.0, True),
            ({"retry_after_seconds": 5.5}, "1", 5.5, False),
            ({}, "5", 5.0, True),
            ({}, "6", 6.0, False),
            ({}, "soon", None, True),
            ({}, "²", None, True),
            ({"retry_after_seconds": "x"}, "", None, True),
        ],
    )
    def test_longer_waits_are_the_persons_decision(
        self, document: Mapping[str, Any], header: str, seconds: float | None, *, retryable: bool
    ) -> None:
        problem = {"code": "unavailable", "category": "transient", **document}
        answer = response(503, problem)
        asked = [(b"Retry-After", header.encode())]
        failure = refused(httpx.Response(503, headers=asked, content=answer.content, request=answer.request))
        assert (failure.after_seconds, failure.retryable) == (seconds, retryable)

    def test_a_replay_and_its_request_are_told(self) -> None:
        problem = {"code": "x", "category": "rejected"}
        failure = refused(response(422, problem, Idempotent_Replayed="true", X_Request_Id="theirs"))
        assert (failure.replayed, failure.error.request_id) == (True, "theirs")
        assert refused(response(422, problem, Idempotent_Replayed="false")).replayed is False

    def test_hints_have_the_values_at_hand(self) -> None:
        def hint(code: str, method: str, path: str, body: Any = None, email: str | None = None) -> str | None:
            request = httpx.Request(method, f"https://bank.example{path}", json=body)
            problem = {"code": code, "category": "rejected"}
            return refused(httpx.Response(422, json=problem, request=request), email=email).error.hint

        funds = "`bankctl balance {}` shows the balance"
        assert hint("insufficient_funds", "POST", PATH, REQUEST) == funds.format("4000000006")
        assert hint("insufficient_funds", "POST", PATH, {"from_account": "a b"}) == funds.format("'a b'")
        assert hint("insufficient_funds", "POST", PATH, [REQUEST]) == funds.format("ACCOUNT")
        assert hint("insufficient_funds", "POST", PATH, {"from_account": 7}) == funds.format("ACCOUNT")
        assert hint("insufficient_funds", "POST", PATH) == funds.format("ACCOUNT")
        assert hint("insufficient_funds", "GET", "/accounts/42/fund") == funds.format("42")
        large = {**REQUEST, "reference": "x" * 5000}
        assert hint("insufficient_funds", "POST", PATH, large) == funds.format("ACCOUNT")
        login = "`bankctl login --email {}`"
        assert hint("session_ended", "GET", "/x", email="a b@c") == login.format("'a b@c'")
        assert hint("session_ended", "POST", "/x", {"email": "d@e"}, "a@c") == login.format("d@e")
        assert hint("session_ended", "GET", "/x") == login.format("EMAIL")
        own = "ask somebody else to run `bankctl admin approvals approve {}`"
        assert hint("own_request", "POST", "/approvals/fund/77/approve") == own.format("77")

    def test_an_earlier_refusal_is_told_as_such(self) -> None:
        error = earlier_outcome(error_of(ExitStatus.REJECTED))
        assert (error.message, error.exit_status, error.code) == ("told", ExitStatus.REJECTED, "some")
        assert error.hint == (
            "this is the outcome of an earlier request with the same idempotency key; to try again, use "
            "another --idempotency-key, or none"
        )
        assert (error.request_id, error.details) == ("r-1", {"field": "x", "replayed": True})

    def test_what_may_have_been_done_is_not_known(self) -> None:
        error = outcome_unknown(error_of(ExitStatus.UNREACHABLE))
        assert error.message == "the outcome is unknown: told"
        assert (error.exit_status, error.code) == (ExitStatus.OUTCOME_UNKNOWN, "outcome_unknown")
        assert (error.hint, error.request_id, error.details) == ("h", "r-1", {"field": "x"})

    def test_success_in_another_form_is_not_certain(self) -> None:
        failure = not_json(response(200, X_Request_Id="theirs"))
        assert (failure.certainty, failure.retryable) == (Certainty.UNCERTAIN, False)
        error = failure.error
        assert (error.exit_status, error.code, error.request_id) == (
            ExitStatus.UNEXPECTED,
            "not_json",
            "theirs",
        )
        assert error.message == "the answer is not JSON; is this really the bank's gateway?"
        assert error.hint == "`bankctl config list` shows the URL of each profile"


DOCTOR = "`bankctl doctor` shows what is wrong; `bankctl dev up` starts the local bank"


class TestWhatAFailedLineMeans:
    @pytest.mark.parametrize(
        ("error", "code", "message", "certainty"),
        [
            (
                httpx.ConnectError("refused"),
                "unreachable",
                "{} cannot be reached: refused",
                Certainty.NOT_DONE,
            ),
            (
                httpx.ConnectTimeout(""),
                "unreachable",
                "{} cannot be reached: no connection in time",
                Certainty.NOT_DONE,
            ),
            (httpx.PoolTimeout("x"), "unreachable", "{} cannot be reached: x", Certainty.NOT_DONE),
            (httpx.ProxyError("x"), "unreachable", "{} cannot be reached: x", Certainty.NOT_DONE),
            (httpx.ReadTimeout("x"), "timeout", "{} did not answer in time", Certainty.UNCERTAIN),
            (httpx.WriteTimeout("x"), "timeout", "{} did not answer in time", Certainty.UNCERTAIN),
            (
                httpx.ReadError("reset"),
                "line_cut",
                "the connection to {} was lost: reset",
                Certainty.UNCERTAIN,
            ),
            (httpx.WriteError(""), "line_cut", "the connection to {} was lost: closed", Certainty.UNCERTAIN),
            (
                httpx.RemoteProtocolError("x"),
                "line_cut",
                "the connection to {} was lost: x",
                Certainty.UNCERTAIN,
            ),
        ],
    )
    def test_only_what_was_never_opened_has_done_nothing(
        self, profile: Profile, error: httpx.TransportError, code: str, message: str, certainty: Certainty
    ) -> None:
        failure = line_failed(error, profile, "r-1")
        assert (failure.certainty, failure.retryable, failure.replayed) == (certainty, True, False)
        told = failure.error
        assert (told.exit_status, told.code, told.request_id) == (ExitStatus.UNREACHABLE, code, "r-1")
        assert (told.message, told.hint) == (message.format(profile.url), DOCTOR)

    def test_a_proxy_that_lets_nothing_through_is_named(self, profile: Profile) -> None:
        proxy: Any = SimpleNamespace(shown="http://p:1", variable="HTTPS_PROXY", remedy="unset it")
        for error, why in ((httpx.ProxyError("407"), "407"), (httpx.ConnectTimeout(""), "no answer")):
            told = line_failed(error, profile, "r-1", proxy=proxy).error
            assert told.message == f"the proxy http://p:1 of HTTPS_PROXY refused the connection: {why}"
            assert (told.code, told.hint) == ("proxy_failed", "unset it")
        assert line_failed(httpx.ReadError("x"), profile, "r-1", proxy=proxy).error.code == "line_cut"


def untrusted(code: int) -> httpx.ConnectError:
    """A line that was not opened because of its certificate, as httpx tells it."""
    reason = ssl.SSLCertVerificationError(1, "certificate verify failed")
    reason.verify_code = code
    error = httpx.ConnectError("[SSL]")
    error.__context__ = OSError("between")
    error.__context__.__cause__ = reason
    return error


class TestCertificates:
    """What is not trusted is sent nothing, and not tried again."""

    NOW = 1_000_000_000.0

    @pytest.fixture(autouse=True)
    def _clock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(failures, "time", SimpleNamespace(time=lambda: self.NOW))

    def told(self, error: httpx.ConnectError, profile: Profile, date: str | None = None) -> CliError:
        failure = line_failed(error, profile, "r-1", bank_time=lambda: date)
        assert (failure.certainty, failure.retryable) == (Certainty.NOT_DONE, False)
        assert failure.error.exit_status is ExitStatus.UNREACHABLE
        return failure.error

    @pytest.mark.parametrize(
        "error", [untrusted(18), httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed")]
    )
    def test_another_certificate_is_not_trusted(self, profile: Profile, error: httpx.ConnectError) -> None:
        told = self.told(error, profile)
        assert told.code == "tls_untrusted"
        assert told.message.startswith(
            f"the certificate of {profile.url} is not trusted, so nothing was sent: "
        )
        assert told.message.endswith(("certificate verify failed')", "verify failed", "self-signed"))
        assert told.hint == "name the right certificate: `bankctl config set ca_file PATH`; `bankctl doctor`"

    @pytest.mark.parametrize(("code", "seems"), [(9, "not valid yet"), (10, "expired")])
    def test_one_out_of_date_is_the_banks_fault_or_that_of_a_clock(
        self, profile: Profile, code: int, seems: str
    ) -> None:
        in_time = "Sun, 09 Sep 2001 01:46:10 GMT"  # 30 s behind
        told = self.told(untrusted(code), profile, in_time)
        assert told.message == f"the certificate of {profile.url} is {seems}, so nothing was sent"
        assert (told.code, told.hint) == ("tls_untrusted", "ask the bank's operators to renew it")
        told = self.told(untrusted(code), profile)
        assert told.hint == ("check this machine's clock; otherwise ask the bank's operators to renew it")
        for date, side in (
            ("Sun, 09 Sep 2001 01:46:09 GMT", "31 seconds ahead of"),
            ("Sun, 09 Sep 2001 01:47:11 GMT", "31 seconds behind"),
        ):
            told = self.told(untrusted(code), profile, date)
            assert told.code == "tls_clock_wrong"
            assert told.message == (
                f"this machine's clock is wrong: it is {side} the bank's, so the certificate of "
                f"{profile.url} seems to be {seems}; nothing was sent"
            )
            assert told.hint == "set this machine's clock (`timedatectl set-ntp true`)"

    def test_a_line_that_was_open_had_a_trusted_one(self, profile: Profile) -> None:
        error = httpx.ReadError("CERTIFICATE_VERIFY_FAILED")
        assert line_failed(error, profile, "r-1").certainty is Certainty.UNCERTAIN


class TestClocks:
    def test_a_difference_is_told_as_people_do(self) -> None:
        told = {
            -1.0: "1 seconds behind",
            0.0: "0 seconds behind",
            1.0: "1 seconds ahead of",
            119.4: "119 seconds ahead of",
            120.0: "2 minutes ahead of",
            -7_199.0: "120 minutes behind",
            7_200.0: "2 hours ahead of",
            172_799.0: "48 hours ahead of",
            172_800.0: "2 days ahead of",
        }
        assert {seconds: skew_text(seconds) for seconds in told} == told

    def test_it_is_that_of_the_answers_date(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(failures, "time", SimpleNamespace(time=lambda: 1_000_000_060.0))
        assert clock_skew("Sun, 09 Sep 2001 01:46:40 GMT") == 60.0
        assert [clock_skew(odd) for odd in (None, "", "soon")] == [None, None, None]


Answering = Callable[[httpx.Request], httpx.Response]


class TestSendingOnce:
    """One request of a Transport, over attempts that are answered as they are told to be."""

    @pytest.fixture
    def played(self, profile: Profile) -> Any:
        """Returns a function that sends a request which meets these answers."""
        transport = Transport(profile, credentials=Credentials(cookie="c"))
        with stamina.set_testing(True, attempts=3):

            def send(*answers: httpx.Response | Exception, **options: Any) -> tuple[Any, list[httpx.Request]]:
                left, sent = list(answers), []

                def answer(request: httpx.Request) -> httpx.Response:
                    sent.append(request)
                    told = left.pop(0) if len(left) > 1 else left[0]
                    if isinstance(told, Exception):
                        raise told
                    return httpx.Response(told.status_code, content=told.content, headers=told.headers)

                transport._http = httpx.Client(base_url=profile.url, transport=httpx.MockTransport(answer))
                asked = {
                    "method": "POST",
                    "path": PATH,
                    "body": REQUEST,
                    "idempotency_key": "key-1",
                    **options,
                }
                try:
                    return transport.request(**asked), sent
                except CliError as error:
                    return error, sent

            yield send
        transport.close()

    def test_it_is_sent_with_its_key_and_answered(self, played: Any) -> None:
        answer, (sent,) = played(response(201, {"id": "t"}))
        assert (answer.status, answer.data, answer.doubted, answer.replayed) == (
            201,
            {"id": "t"},
            False,
            False,
        )
        assert (sent.headers["Idempotency-Key"], json.loads(sent.content)) == ("key-1", REQUEST)

    def test_a_line_that_is_cut_is_sent_again_under_the_same_key_and_doubted(self, played: Any) -> None:
        replay = response(201, {"id": "t"}, Idempotent_Replayed="true")
        answer, sent = played(httpx.ReadError("cut"), replay)
        assert (answer.data, answer.doubted, answer.replayed) == ({"id": "t"}, True, False)
        assert {request.headers["Idempotency-Key"] for request in sent} == {"key-1"}
        assert len({request.headers["X-Request-Id"] for request in sent}) == 1
        answer, _ = played(httpx.ConnectError("refused"), replay)
        assert (answer.doubted, answer.replayed) == (False, True)

    @pytest.mark.parametrize(
        ("last", "status"),
        [
            (httpx.ReadError("cut"), ExitStatus.OUTCOME_UNKNOWN),
            (httpx.ConnectError("refused"), ExitStatus.OUTCOME_UNKNOWN),
            (response(503, {"code": "unavailable", "category": "transient"}), ExitStatus.OUTCOME_UNKNOWN),
            (response(401, {"code": "locked", "category": "unauthenticated"}), ExitStatus.OUTCOME_UNKNOWN),
            (response(403, {"code": "forbidden", "category": "forbidden"}), ExitStatus.OUTCOME_UNKNOWN),
            (response(422, {"code": "account_frozen", "category": "rejected"}), ExitStatus.REJECTED),
            (response(500, {"code": "internal", "category": "internal"}), ExitStatus.UNEXPECTED),
        ],
    )
    def test_behind_a_cut_line_only_the_banks_final_word_counts(
        self, played: Any, last: httpx.Response | Exception, status: ExitStatus
    ) -> None:
        error, _ = played(httpx.ReadError("cut"), last)
        assert error.exit_status is status
        assert (error.code == "outcome_unknown") is (status is ExitStatus.OUTCOME_UNKNOWN)

    @pytest.mark.parametrize(
        ("answer", "status", "attempts"),
        [
            (httpx.ReadError("cut"), ExitStatus.OUTCOME_UNKNOWN, 3),
            (httpx.ConnectError("refused"), ExitStatus.UNREACHABLE, 3),
            (response(503, {"code": "overloaded", "category": "transient"}), ExitStatus.UNREACHABLE, 3),
            (
                response(409, {"code": "idempotency_key_in_use", "category": "conflict"}),
                ExitStatus.OUTCOME_UNKNOWN,
                3,
            ),
            (response(500, {"code": "internal", "category": "internal"}), ExitStatus.UNEXPECTED, 1),
            (response(422, {"code": "account_frozen", "category": "rejected"}), ExitStatus.REJECTED, 1),
        ],
    )
    def test_what_stays_as_it_is_ends_as_what_it_is(
        self, played: Any, answer: httpx.Response | Exception, status: ExitStatus, attempts: int
    ) -> None:
        error, sent = played(answer)
        assert (error.exit_status, len(sent)) == (status, attempts)

    def test_what_is_not_safe_to_repeat_is_not_sent_again_when_it_may_have_been_done(
        self, played: Any
    ) -> None:
        error, sent = played(httpx.ReadError("cut"), idempotency_key=None)
        assert (error.exit_status, len(sent)) == (ExitStatus.OUTCOME_UNKNOWN, 1)
        error, sent = played(httpx.ConnectError("refused"), idempotency_key=None)
        assert (error.exit_status, len(sent)) == (ExitStatus.UNREACHABLE, 3)

    def test_reading_is_never_in_doubt(self, played: Any) -> None:
        error, sent = played(httpx.ReadError("cut"), method="GET", body=None, idempotency_key=None)
        assert (error.exit_status, error.code, len(sent)) == (ExitStatus.UNREACHABLE, "line_cut", 3)

    def test_a_refusal_that_is_replayed_is_an_earlier_one(self, played: Any) -> None:
        refusal = response(
            422, {"code": "account_frozen", "category": "rejected"}, Idempotent_Replayed="true"
        )
        error, _ = played(refusal)
        assert error.details == {"replayed": True}
        error, _ = played(httpx.ReadError("cut"), refusal)
        assert error.details == {}, "it may be what this command met"

    def test_success_that_is_no_json_is_not_taken_for_one(self, played: Any) -> None:
        error, sent = played(httpx.Response(200, content=b"<html>"))
        assert (error.exit_status, error.code, len(sent)) == (ExitStatus.UNEXPECTED, "not_json", 1)
