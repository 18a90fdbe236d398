"""What is sent to the bank over a real line, when it is sent again, and as whom."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest

from bankctl import __version__, invocation
from bankctl.client.credentials import Credentials
from bankctl.client.failures import AttemptFailedError, Certainty
from bankctl.client.http import Transport, _is_loopback, _retry_policy
from bankctl.config import Profile, load_profile
from bankctl.errors import CliError, ExitStatus
from tests.unit.cli.bank_server import issue_certificate, serve
from tests.unit.cli.played_bank import ANN, CutLineError, ProblemError, Request
from tests.unit.cli.played_bank import Bank as PlayedBank

TRANSFER = {"from_account": ANN, "to_account": "1234567894", "amount": "1.00", "currency": "EUR"}
NOT_SIGNED_IN = ProblemError(401, "not_signed_in", "unauthenticated")


@pytest.fixture
def transport(bank: PlayedBank) -> Iterator[Transport]:
    invocation.reset()
    made = Transport(load_profile("test"), credentials=Credentials(cookie=bank.cookie, refresh_cookie="r"))
    yield made
    made.close()


def cut(_request: Request) -> None:
    raise CutLineError


def refuse(problem: ProblemError) -> Any:
    def refused(_request: Request) -> None:
        raise problem

    return refused


def fault_of(transport: Transport, method: str, path: str, **more: Any) -> CliError:
    with pytest.raises(CliError) as failed:
        transport.request(method, path, **more)
    return failed.value


def transfer(transport: Transport, **more: Any) -> Any:
    return transport.request("POST", "/transactions/transfer", body=TRANSFER, **more)


def test_a_request_says_who_asks_for_what_and_by_which_program(
    bank: PlayedBank, transport: Transport
) -> None:
    answer = transport.request(
        "GET", "/accounts", params={"limit": 5, "cursor": None}, headers={"X-More": "1"}
    )
    [sent] = bank.requests
    assert (sent.method, sent.path, sent.query, sent.raw) == ("GET", "/accounts", {"limit": "5"}, b"")
    assert sent.headers["User-Agent"] == f"bankctl/{__version__}"
    assert (sent.headers["X-Requested-With"], sent.headers["X-More"]) == ("bankctl", "1")
    assert sent.headers["Cookie"] == f"__Host-bankctl={bank.cookie}"
    assert len(sent.headers["X-Request-Id"]) == 32
    assert sent.key is None
    assert (answer.status, answer.data["items"][0]["id"], answer.replayed, answer.doubted) == (
        200,
        ANN,
        False,
        False,
    )
    assert answer.headers["X-Request-Id"] == sent.headers["X-Request-Id"]
    assert not invocation.current().acted
    paid = transfer(transport, idempotency_key="one")
    again = transfer(transport, idempotency_key="one")
    assert (paid.status, paid.replayed, again.replayed) == (201, False, True)
    assert (bank.requests[-1].key, bank.requests[-1].body) == ("one", TRANSFER)
    assert bank.requests[-1].headers["X-Request-Id"] != sent.headers["X-Request-Id"]
    assert invocation.current().acted
    assert transport.request("DELETE", "/auth/sessions").data is None


def test_bytes_are_sent_as_they_are_and_read_as_the_caller_wants(
    bank: PlayedBank, transport: Transport
) -> None:
    answer = transport.request(
        "POST",
        "/transactions/preview",
        body=b'{"from_account": "4000000006", "amount":  "1.00", "currency": '
        b'"EUR", "to_account": "1234567894"}',
        decode=len,
        acts=False,
    )
    [sent] = bank.requests
    assert b'"amount":  "1.00"' in sent.raw
    assert sent.headers["Content-Type"] == "application/json"
    assert isinstance(answer.data, int)
    assert not invocation.current().acted


def test_what_acts_is_noted_where_the_method_does_not_say_so(transport: Transport) -> None:
    transport.request("GET", "/accounts", acts=True)
    assert invocation.current().acted


def test_a_line_that_is_cut_is_opened_again_where_that_does_nothing_twice(
    bank: PlayedBank, transport: Transport
) -> None:
    bank.times(2, "/accounts", cut)
    assert transport.request("GET", "/accounts").status == 200
    assert len(bank.sent("/accounts")) == 3
    assert len({sent.headers["X-Request-Id"] for sent in bank.requests}) == 1
    bank.requests.clear()
    bank.once("/transactions/transfer", cut, after=True)
    paid = transfer(transport, idempotency_key="one")
    # What the bank tells as a replay is what this very request did.
    assert (paid.doubted, paid.replayed) == (True, False)
    assert [sent.key for sent in bank.requests] == ["one", "one"]
    assert bank.balances[ANN] == Decimal("999.00")
    bank.requests.clear()
    bank.once("/accounts", cut)
    fault = fault_of(transport, "POST", "/accounts", body={})
    assert (fault.exit_status, len(bank.requests)) == (ExitStatus.OUTCOME_UNKNOWN, 1)
    bank.once("/accounts", cut)
    assert transport.request("POST", "/accounts", body={}, repeatable=True).status == 201


def test_after_three_attempts_it_is_given_up_and_said_whether_it_may_have_been_done(
    bank: PlayedBank, transport: Transport
) -> None:
    bank.times(9, "/accounts", cut)
    fault = fault_of(transport, "GET", "/accounts")
    assert (fault.exit_status, fault.code, len(bank.requests)) == (ExitStatus.UNREACHABLE, "line_cut", 3)
    away = ProblemError(503, "unavailable", "transient", retry_after_seconds=0)
    bank.times(9, "/transactions/transfer", refuse(away))
    bank.requests.clear()
    fault = fault_of(transport, "POST", "/transactions/transfer", body=TRANSFER)
    # Every attempt was refused before anything was done.
    assert (fault.exit_status, fault.code, len(bank.requests)) == (ExitStatus.UNREACHABLE, "unavailable", 3)
    once = Transport(load_profile("test"), credentials=transport.credentials, attempts=1)
    bank.requests.clear()
    assert fault_of(once, "POST", "/transactions/transfer", body=TRANSFER).code == "unavailable"
    assert len(bank.requests) == 1
    once.close()


def test_whoever_is_not_signed_in_any_more_goes_on_with_new_cookies_if_there_are_any(
    bank: PlayedBank, transport: Transport
) -> None:
    transport.credentials.cookie = "old"
    transport.email = "ann@example.com"
    fault = fault_of(transport, "GET", "/accounts")
    assert (fault.code, fault.hint) == ("not_signed_in", "`bankctl login --email ann@example.com`")
    renewals: list[str | None] = []

    def renew() -> bool:
        renewals.append(transport.credentials.cookie)
        transport.credentials.cookie = bank.cookie
        return True

    transport.renew = lambda: False
    assert fault_of(transport, "GET", "/accounts").code == "not_signed_in"
    transport.renew = renew
    bank.requests.clear()
    paid = transfer(transport, idempotency_key="one")
    assert (paid.status, paid.doubted, renewals, len(bank.requests)) == (201, False, ["old"], 2)
    # Refusals of any other kind have nothing to do with the session.
    bank.once("/accounts", refuse(ProblemError(403, "forbidden", "forbidden")))
    assert fault_of(transport, "GET", "/accounts").code == "forbidden"
    bank.times(2, "/accounts", refuse(NOT_SIGNED_IN))
    assert fault_of(transport, "GET", "/accounts").code == "not_signed_in"
    assert len(renewals) == 2
    transport.forget_credentials()
    bank.requests.clear()
    assert fault_of(transport, "GET", "/accounts").code == "not_signed_in"
    assert ([sent.headers["Cookie"] for sent in bank.requests], len(renewals)) == ([None], 2)


def test_of_several_threads_one_gets_the_new_cookies_for_all(bank: PlayedBank, transport: Transport) -> None:
    transport.credentials.cookie = "old"
    renewals: list[str | None] = []
    together = Barrier(4)

    def refused_together(request: Request) -> None:
        if request.headers["Cookie"] == "__Host-bankctl=old":
            bank.lock.release()
            try:
                together.wait(10)
            finally:
                bank.lock.acquire()

    def renew() -> bool:
        renewals.append(transport.credentials.cookie)
        transport.credentials.cookie = bank.cookie
        return True

    transport.renew = renew
    bank.hooks.append(refused_together)
    statuses: list[int] = []
    threads = [
        Thread(target=lambda: statuses.append(transport.request("GET", "/accounts").status)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (statuses, renewals) == ([200] * 4, ["old"])


def test_cookies_that_end_soon_are_renewed_before_and_if_that_fails_the_present_ones_are_tried(
    bank: PlayedBank, transport: Transport
) -> None:
    renewals: list[str | None] = []

    def renew() -> bool:
        renewals.append(transport.credentials.cookie)
        raise CliError("away", exit_status=ExitStatus.UNREACHABLE, code="unreachable")

    transport.renew = renew
    for left, expected in ((40, 0), (20, 1), (-5, 2)):
        transport.credentials.cookie_expires_at = time.time() + left
        assert transport.request("GET", "/accounts").status == 200
        assert len(renewals) == expected


def test_an_exchange_offers_the_refresh_cookie_and_keeps_what_comes(
    bank: PlayedBank, transport: Transport
) -> None:
    credentials = transport.credentials
    answer = transport.exchange({"Cookie": f"__Host-bankctl-refresh={bank.refresh_cookie}"})
    [sent] = bank.requests
    assert (sent.method, sent.path, answer.status) == ("POST", "/auth/refresh", 200)
    assert sent.headers["Cookie"] == "__Host-bankctl-refresh=refresh-one"
    assert len(sent.headers["X-Request-Id"]) == 32
    assert (credentials.cookie, credentials.refresh_cookie) == ("renewed.1", "refresh-1")
    assert transport.request("GET", "/accounts").status == 200
    # The client of HTTP keeps none of its own.
    assert bank.requests[-1].headers["Cookie"] == "__Host-bankctl=renewed.1"
    with pytest.raises(CliError) as ended:
        transport.exchange({"Cookie": "__Host-bankctl-refresh=refresh-one"})
    assert ended.value.exit_status is ExitStatus.NOT_LOGGED_IN


def test_an_answer_in_pieces_is_read_as_it_comes(bank: PlayedBank, transport: Transport) -> None:
    bank.events = [{"position": 1, "type": "T"}, {"position": 2, "type": "T", "then": "cut"}]
    with transport.stream(
        "/events", params={"after": 1, "kind": None}, headers={"Accept": "text/event-stream"}, idle_seconds=9
    ) as response:
        lines = list(response.iter_lines())
    assert lines[:2] == ["id: 1", "event: reached"]
    assert lines[4:6] == ["id: 2", "event: T"]
    [sent] = bank.requests
    assert (sent.method, sent.query, sent.headers["Accept"]) == ("GET", {"after": "1"}, "text/event-stream")
    assert sent.headers["Cookie"] == f"__Host-bankctl={bank.cookie}"
    assert len(sent.headers["X-Request-Id"]) == 32
    with transport.stream(
        "/transactions/preview", params={}, headers={}, idle_seconds=9, body=TRANSFER
    ) as one:
        one.read()
    assert (bank.requests[-1].method, bank.requests[-1].body) == ("POST", TRANSFER)


def test_a_stream_is_asked_for_again_with_new_cookies_once(bank: PlayedBank, transport: Transport) -> None:
    def read() -> int:
        with transport.stream("/accounts", params={}, headers={}, idle_seconds=9) as response:
            return response.status_code

    def renew() -> bool:
        transport.credentials.cookie = bank.cookie
        return True

    transport.credentials.cookie = "old"
    with pytest.raises(CliError) as refused:
        read()
    assert refused.value.code == "not_signed_in"
    transport.renew = renew
    assert read() == 200
    transport.credentials.cookie = "old"
    bank.times(2, "/accounts", refuse(NOT_SIGNED_IN))
    with pytest.raises(CliError) as refused:
        read()
    assert refused.value.code == "not_signed_in"
    bank.once("/accounts", refuse(ProblemError(403, "forbidden", "forbidden")))
    bank.requests.clear()
    with pytest.raises(CliError) as refused:
        read()
    assert (refused.value.code, len(bank.requests)) == ("forbidden", 1)
    bank.once("/accounts", cut)
    with pytest.raises(CliError) as lost:
        read()
    assert (lost.value.code, lost.value.request_id) == (
        "line_cut",
        bank.requests[-1].headers["X-Request-Id"],
    )


def test_what_is_no_path_or_no_json_is_said_to_be_so(bank: PlayedBank, transport: Transport) -> None:
    fault = fault_of(transport, "GET", "/acc\nounts")
    assert (fault.exit_status, "'/acc\\nounts' is not a path" in fault.message) == (ExitStatus.USAGE, True)
    assert bank.requests == []

    def unreadable(_content: bytes) -> Any:
        raise ValueError("by the test")

    fault = fault_of(transport, "GET", "/accounts", decode=unreadable)
    assert (fault.code, fault.exit_status, len(bank.requests)) == ("not_json", ExitStatus.UNEXPECTED, 1)


def test_nothing_is_sent_to_a_bank_whose_certificate_is_another(bank: PlayedBank, tmp_path: Path) -> None:
    other, _ = issue_certificate(tmp_path)
    strange = Transport(replace(load_profile("test"), ca_file=other))
    fault = fault_of(strange, "GET", "/bank")
    assert (fault.code, bank.requests) == ("tls_untrusted", [])
    strange.close()


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("bank.localhost", True),
        ("127.0.0.7", True),
        ("::1", True),
        ("192.0.2.1", False),
        ("notlocalhost", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_no_proxy_reaches_this_machines_own_loopback(host: str, expected: bool) -> None:
    assert _is_loopback(host) is expected


def test_the_environments_proxy_is_asked_for_banks_elsewhere_only(
    bank: PlayedBank, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    near = Transport(load_profile("test"), credentials=transport.credentials)
    assert near.request("GET", "/accounts").status == 200
    near.close()
    assert len(bank.requests) == 1


def test_a_proxy_that_is_not_there_is_named_and_nothing_was_sent(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    far = Transport(Profile("far", "https://bank.example:8443"), attempts=1)
    fault = fault_of(far, "POST", "/transactions/transfer", body=TRANSFER, idempotency_key="one")
    far.close()
    assert (fault.code, fault.exit_status) == ("proxy_failed", ExitStatus.UNREACHABLE)
    assert "the proxy http://127.0.0.1:9 of HTTPS_PROXY" in fault.message


@pytest.mark.parametrize(
    ("ahead", "code", "says"),
    [
        (
            timedelta(days=-2),
            "tls_clock_wrong",
            "this machine's clock is wrong: it is 2 days ahead of the bank's",
        ),
        (timedelta(0), "tls_untrusted", "is expired, so nothing was sent"),
    ],
)
def test_a_certificate_that_seems_out_of_date_is_judged_by_the_banks_own_clock(
    home: Path, tmp_path: Path, ahead: timedelta, code: str, says: str
) -> None:
    bank = PlayedBank()
    files = issue_certificate(tmp_path, begins=timedelta(days=-3), ends=timedelta(days=-1))
    with serve(bank, *files, ahead=ahead) as url:
        transport = Transport(Profile("late", url, files[0]), credentials=Credentials(cookie="secret"))
        fault = fault_of(transport, "GET", "/accounts")
        transport.close()
    assert (fault.code, says in fault.message, bank.requests) == (code, True, [])


def test_it_is_sent_again_only_while_each_failure_allows_it(bank: PlayedBank, transport: Transport) -> None:
    bank.once("/accounts", refuse(ProblemError(503, "unavailable", "transient", retry_after_seconds=0)))
    bank.times(9, "/accounts", refuse(ProblemError(403, "forbidden", "forbidden")))
    assert fault_of(transport, "GET", "/accounts").code == "forbidden"
    assert len(bank.requests) == 2


def test_it_waits_as_long_as_the_bank_asks() -> None:
    error = CliError("away", exit_status=ExitStatus.UNREACHABLE, code="unavailable")
    noted: list[AttemptFailedError] = []
    retry = _retry_policy(noted, repeatable=False)
    asked = AttemptFailedError(error, Certainty.NOT_DONE, retryable=True, after_seconds=0.5)
    unasked = AttemptFailedError(error, Certainty.NOT_DONE, retryable=True)
    uncertain = AttemptFailedError(error, Certainty.UNCERTAIN, retryable=True)
    final = AttemptFailedError(error, Certainty.FINAL, retryable=False)
    answers = [retry(one) for one in (asked, unasked, uncertain, final, ValueError())]
    assert answers == [0.5, True, False, False, False]
    assert noted == [asked, unasked]
    assert _retry_policy([], repeatable=True)(uncertain) is True
