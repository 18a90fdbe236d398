"""What the load generator sends is what it means, and it believes nothing but completed payments."""

import json
from dataclasses import replace

import pytest

from daemons.banking_api.accounts.number import account_number
from daemons.contracts.vocabulary import fault_of_account
from tests.bench.load_plan import LoadPlan, LoadReport, Payer
from tests.bench.payment_requests import Requests, check_answer

ACCOUNTS = [account_number(123_456_780 + index) for index in range(5)]
PLAN = LoadPlan(
    ports=[1],
    payers=[Payer(cookie="c=1", accounts=ACCOUNTS[:2])],
    receivers=ACCOUNTS[:1],
    connections=1,
    seconds=1.0,
)
CREATED, DONE = b"HTTP/1.1 201 Created\r\n", b"HTTP/1.1 200 OK\r\n"


def parse(request: bytes) -> tuple[str, dict[str, str], dict[str, object]]:
    head, _, body = request.decode().partition("\r\n\r\n")
    line, *fields = head.split("\r\n")
    headers = dict(field.split(": ", 1) for field in fields)
    assert int(headers["Content-Length"]) == len(body)
    return line, headers, json.loads(body)


def test_a_single_payment_is_one_well_formed_request() -> None:
    requests = Requests(PLAN, port=1, payers=PLAN.payers_of(0))
    keys = set()
    for _ in range(50):
        line, headers, body = parse(requests.next())
        assert line == "POST /transactions/transfer HTTP/1.1"
        # Where one account alone is paid, it never pays itself.
        assert (body["from_account"], body["to_account"]) == (ACCOUNTS[1], ACCOUNTS[0])
        assert fault_of_account(str(body["from_account"])) is None
        assert 0 < float(str(body["amount"])) <= 5
        keys.add(headers["Idempotency-Key"])
    assert len(keys) == 50


def test_a_batch_has_a_key_for_every_row() -> None:
    batch = LoadPlan.loads(PLAN.dumps().replace('"rows_per_request": 1', '"rows_per_request": 30'))
    line, headers, body = parse(Requests(batch, port=1, payers=batch.payers_of(0)).next())
    rows = body["transfers"]
    assert isinstance(rows, list)
    assert line == "POST /transactions/batch HTTP/1.1"
    assert "Idempotency-Key" not in headers
    assert len({row["idempotency_key"] for row in rows}) == len(rows) == 30


def test_a_mixed_connection_sends_requests_of_all_payers_dealt_to_it() -> None:
    payers = [Payer(cookie=f"c={number}", accounts=ACCOUNTS) for number in range(6)]
    plan = replace(PLAN, payers=payers, connections=2, mixed=True)
    assert [payer.cookie for payer in plan.payers_of(1)] == ["c=1", "c=3", "c=5"]
    requests = Requests(plan, port=1, payers=plan.payers_of(1))
    sent = {parse(requests.next())[1]["Cookie"] for _ in range(200)}
    assert sent == {"c=1", "c=3", "c=5"}


def test_plans_and_reports_survive_the_way_between_processes() -> None:
    assert LoadPlan.loads(PLAN.dumps()) == PLAN
    report = LoadReport(acknowledged=2, seconds=1.0, cpu_seconds=0.1, latencies_seconds=[0.2])
    assert LoadReport.loads(report.dumps()) == report


@pytest.mark.parametrize(
    ("head", "body", "rows"),
    [(CREATED, b'{"status":"completed"}', 1), (DONE, b'{"outcome":"completed"},{"outcome":"completed"}', 2)],
)
def test_completed_payments_are_believed(head: bytes, body: bytes, rows: int) -> None:
    check_answer(head, body, rows=rows)


@pytest.mark.parametrize(
    ("head", "body", "rows"),
    [
        (DONE, b'{"status":"completed"}', 1),
        (b"HTTP/1.1 503 Service Unavailable\r\n", b"{}", 1),
        (CREATED, b'{"status":"failed"}', 1),
        (CREATED + b"Idempotent-Replayed: true\r\n", b'{"status":"completed"}', 1),
        (DONE, b'{"outcome":"completed"},{"outcome":"failed"}', 2),
        (DONE, b'{"outcome":"completed","replayed":true},{"outcome":"completed"}', 2),
    ],
)
def test_anything_else_stops_the_benchmark(head: bytes, body: bytes, rows: int) -> None:
    with pytest.raises(AssertionError, match="not completed"):
        check_answer(head, body, rows=rows)
