"""Delivery of batches: what is not final is asked for again, and no batch is settled before its turn."""

import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from bankctl.client.http import Answer
from bankctl.errors import CliError, ExitStatus
from bankctl.payments import delivery
from bankctl.payments.delivery import Delivery
from bankctl.payments.sender import Answers, BatchSender, SentBatch

UNREACHABLE = CliError("the bank is away", exit_status=ExitStatus.UNREACHABLE, code="unreachable")
CUT = CliError("the line was cut", exit_status=ExitStatus.OUTCOME_UNKNOWN, code="outcome_unknown")
NOT_ITS_TURN = CliError("wait", exit_status=ExitStatus.CONFLICT, code="batch_before_not_settled")
GOES_ON = "run the same command again: it continues where it stopped and pays nothing twice"


def answered(*outcomes: dict[str, Any], doubted: bool = False) -> Answer:
    results = [{"index": index, **outcome} for index, outcome in enumerate(outcomes)]
    return Answer(200, {"results": results}, {}, doubted=doubted)


def completed(*, replayed: bool = False) -> dict[str, Any]:
    return {"outcome": "completed", "replayed": replayed}


def refused(code: str, category: str) -> dict[str, Any]:
    problem = {"code": code, "category": category, "detail": "no", "request_id": "r-1"}
    return {"outcome": "refused", "replayed": False, "problem": problem}


class EndsWhenAwaited(SentBatch):
    """A batch that is under way until somebody waits for it."""

    def wait(self) -> None:
        if not self.is_done:
            self.end([])


def batch(key: str, kind: type[SentBatch] = SentBatch) -> SentBatch:
    return kind([{"idempotency_key": f"{key}-first"}, {"idempotency_key": f"{key}-last"}], None)


class Bank:
    """Gives one answer after the other to batches, and notes what was sent; time passes only in pauses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: Answer | CliError) -> None:
        self.transactions = self
        self.answers = list(answers)
        self.sent: list[tuple[str, str | None, bool]] = []
        self.pauses: list[float] = []
        self.now = 1000.0
        time = SimpleNamespace(monotonic=lambda: self.now, sleep=self._sleep)
        monkeypatch.setattr(delivery, "time", time)

    def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def batch(
        self,
        transfers: Sequence[dict[str, Any]],
        *,
        after: str | None = None,
        atomic: bool = False,
        confirmation: str | None = None,
    ) -> Answer:
        assert confirmation is None
        self.sent.append((transfers[0]["idempotency_key"], after, atomic))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, CliError):
            raise answer
        return answer

    def deliver(self, sent: SentBatch, *, wait_seconds: float = 60.0, atomic: bool = False) -> Answers:
        return Delivery(self, wait_seconds, atomic=atomic).deliver(sent)  # type: ignore[arg-type]

    def stopped(self, sent: SentBatch, *, wait_seconds: float = 60.0, atomic: bool = False) -> CliError:
        with pytest.raises(CliError) as raised:
            self.deliver(sent, wait_seconds=wait_seconds, atomic=atomic)
        return raised.value


NOT_FINAL = [
    {"outcome": "unknown", "problem": {"code": "outcome_unknown", "category": "outcome_unknown"}},
    {"outcome": "pending", "problem": None},
    {"outcome": "pending"},
    refused("unavailable", "transient"),
    refused("outcome_unknown", "outcome_unknown"),
    refused("internal_error", "internal"),
    refused("session_ended", "unauthenticated"),
    refused("idempotency_key_in_use", "conflict"),
    refused("batch_before_not_settled", "conflict"),
]
FINAL = [
    completed(),
    completed(replayed=True),
    {
        "outcome": "completed",
        "replayed": False,
        "problem": {"code": "internal_error", "category": "internal"},
    },
    {
        "outcome": "failed",
        "replayed": True,
        "problem": {"code": "insufficient_funds", "category": "rejected"},
    },
    refused("idempotency_key_reused", "rejected"),
    refused("account_not_found", "not_found"),
]


@pytest.mark.parametrize("outcome", NOT_FINAL, ids=str)
@pytest.mark.parametrize("place", [0, 1])
def test_an_outcome_that_is_not_final_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, outcome: dict[str, Any], place: int
) -> None:
    unsure = [completed(), completed()]
    unsure[place] = outcome
    bank = Bank(monkeypatch, answered(*unsure), answered(completed(replayed=True), completed()))
    answers = bank.deliver(batch("a"))
    assert [answer["outcome"] for answer in answers] == ["completed", "completed"]
    assert bank.sent == [("a-first", None, False)] * 2
    # The first sending may have paid it, so it is no payment of an earlier command.
    assert [answer["replayed"] for answer in answers] == [False, False]


@pytest.mark.parametrize("outcome", NOT_FINAL, ids=str)
def test_an_outcome_that_never_becomes_final_is_unknown(
    monkeypatch: pytest.MonkeyPatch, outcome: dict[str, Any]
) -> None:
    error = Bank(monkeypatch, answered(outcome)).stopped(batch("a"), wait_seconds=1)
    problem = outcome.get("problem") or {}
    code = problem.get("code", "outcome_unknown")
    assert (error.exit_status, error.code, error.hint) == (ExitStatus.OUTCOME_UNKNOWN, code, GOES_ON)
    assert error.request_id == problem.get("request_id")
    assert error.message == (
        "stopped before the end of the file: the outcome of a row is not known yet: "
        f"{problem.get('detail') or code}"
    )


@pytest.mark.parametrize("outcome", FINAL, ids=str)
def test_a_final_outcome_is_taken_as_it_came(
    monkeypatch: pytest.MonkeyPatch, outcome: dict[str, Any]
) -> None:
    bank = Bank(monkeypatch, answered(outcome))
    assert bank.deliver(batch("a")) == [{"index": 0, **outcome}]
    assert (len(bank.sent), bank.pauses) == (1, [])


class TestPatience:
    def test_pauses_grow_up_to_a_longest_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        bank = Bank(monkeypatch, UNREACHABLE)
        bank.stopped(batch("a"), wait_seconds=20)
        assert bank.pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
        assert len(bank.sent) == 8

    def test_the_last_moment_is_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        bank = Bank(monkeypatch, UNREACHABLE, answered(completed()))
        bank.now = 0.0
        assert bank.deliver(batch("a"), wait_seconds=0.2) == [{"index": 0, **completed()}]

    @pytest.mark.parametrize(
        ("status", "code"),
        [
            (ExitStatus.USAGE, "invalid_request"),
            (ExitStatus.NOT_LOGGED_IN, "session_ended"),
            (ExitStatus.CONFLICT, "batch_before_not_settled"),
            (ExitStatus.UNREACHABLE, "tls_untrusted"),
            (ExitStatus.UNREACHABLE, "tls_certificate_missing"),
            (ExitStatus.UNREACHABLE, "tls_clock_wrong"),
        ],
    )
    def test_what_will_not_pass_is_not_waited_for(
        self, monkeypatch: pytest.MonkeyPatch, status: ExitStatus, code: str
    ) -> None:
        cause = CliError("no", exit_status=status, code=code, request_id="r-7", details={"field": "to"})
        bank = Bank(monkeypatch, cause)
        error = bank.stopped(batch("a"))
        assert (bank.pauses, len(bank.sent)) == ([], 1)
        assert (error.exit_status, error.code, error.request_id) == (status, code, "r-7")
        assert (error.message, error.hint) == ("stopped before the end of the file: no", GOES_ON)
        assert error.details == {"field": "to"}
        assert error.__cause__ is cause

    def test_a_bank_that_was_never_reached_has_done_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        error = Bank(monkeypatch, UNREACHABLE).stopped(batch("a"), wait_seconds=1)
        assert error.exit_status is ExitStatus.UNREACHABLE

    def test_a_bank_that_was_lost_in_the_midst_may_have_done_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bank = Bank(monkeypatch, UNREACHABLE, CUT, UNREACHABLE)
        assert bank.stopped(batch("a"), wait_seconds=1).exit_status is ExitStatus.OUTCOME_UNKNOWN

    def test_a_refusal_behind_a_cut_line_keeps_its_reason(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ended = CliError("log in", exit_status=ExitStatus.NOT_LOGGED_IN, code="session_ended")
        error = Bank(monkeypatch, CUT, ended).stopped(batch("a"))
        assert (error.exit_status, error.code) == (ExitStatus.NOT_LOGGED_IN, "session_ended")

    @pytest.mark.parametrize(
        "before",
        [
            [CUT],
            [CUT, UNREACHABLE],
            [answered({"outcome": "unknown"})],
        ],
    )
    def test_what_was_cut_is_no_earlier_payment(
        self, monkeypatch: pytest.MonkeyPatch, before: list[Answer | CliError]
    ) -> None:
        bank = Bank(monkeypatch, *before, answered(completed(replayed=True)))
        assert [answer["replayed"] for answer in bank.deliver(batch("a"))] == [False]

    def test_nor_is_what_the_transport_sent_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        bank = Bank(monkeypatch, answered(completed(replayed=True), doubted=True))
        assert [answer["replayed"] for answer in bank.deliver(batch("a"))] == [False]

    def test_what_was_never_sent_before_may_be_an_earlier_payment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bank = Bank(monkeypatch, UNREACHABLE, answered(completed(replayed=True)))
        assert [answer["replayed"] for answer in bank.deliver(batch("a"))] == [True]

    def test_the_person_is_told_what_is_waited_for(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Bank(monkeypatch, UNREACHABLE, answered(completed())).deliver(batch("a"))
        assert "the bank is away; waiting for the bank" in capsys.readouterr().err
        # The batch before says so already.
        before, behind = batch("a"), batch("b")
        behind.behind = before
        Bank(monkeypatch, UNREACHABLE, answered(completed())).deliver(behind)
        assert capsys.readouterr().err == ""


class TestAtomic:
    def test_the_bank_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        bank = Bank(monkeypatch, answered(completed()))
        bank.deliver(batch("a"), atomic=True)
        assert bank.sent == [("a-first", None, True)]

    @pytest.mark.parametrize("cut", [CUT, answered(completed(), refused("x", "rejected"), doubted=True)])
    def test_a_refusal_behind_a_cut_line_is_not_final(
        self, monkeypatch: pytest.MonkeyPatch, cut: Answer | CliError
    ) -> None:
        """The copy that was cut may still be paying the rows."""
        refusal = answered(completed(), refused("atomic_batch_refused", "rejected"))
        bank = Bank(monkeypatch, cut, refusal, answered(completed(), completed()))
        answers = bank.deliver(batch("a"), atomic=True)
        assert [answer["outcome"] for answer in answers] == ["completed", "completed"]
        assert len(bank.sent) == 3
        error = Bank(monkeypatch, cut, refusal).stopped(batch("a"), atomic=True)
        assert (error.exit_status, error.code) == (ExitStatus.OUTCOME_UNKNOWN, "outcome_unknown")

    def test_a_refusal_that_nothing_was_sent_before_is_final(self, monkeypatch: pytest.MonkeyPatch) -> None:
        refusal = refused("atomic_batch_refused", "rejected")
        bank = Bank(monkeypatch, UNREACHABLE, answered(refusal))
        assert bank.deliver(batch("a"), atomic=True) == [{"index": 0, **refusal}]

    def test_rows_on_their_own_are_refused_for_good_behind_a_cut_line(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bank = Bank(monkeypatch, CUT, answered(refused("account_not_found", "not_found")))
        assert bank.deliver(batch("a"))[0]["outcome"] == "refused"


class TestTheBatchBefore:
    @pytest.fixture
    def pair(self) -> tuple[SentBatch, SentBatch]:
        before, behind = batch("a"), batch("b")
        behind.behind = before
        return before, behind

    def test_is_named_by_its_last_key(
        self, monkeypatch: pytest.MonkeyPatch, pair: tuple[SentBatch, SentBatch]
    ) -> None:
        bank = Bank(monkeypatch, UNREACHABLE, answered(completed()))
        assert bank.deliver(pair[1]) == [{"index": 0, **completed()}]
        assert bank.sent == [("b-first", "a-last", False)] * 2

    def test_is_not_named_once_it_is_settled(
        self, monkeypatch: pytest.MonkeyPatch, pair: tuple[SentBatch, SentBatch]
    ) -> None:
        bank = Bank(monkeypatch, answered(completed()))
        pair[0].end([])
        bank.deliver(pair[1])
        assert bank.sent == [("b-first", None, False)]

    def test_ends_the_run_if_it_has_failed(
        self, monkeypatch: pytest.MonkeyPatch, pair: tuple[SentBatch, SentBatch]
    ) -> None:
        bank = Bank(monkeypatch, answered(completed()))
        pair[0].end(CUT)
        assert bank.stopped(pair[1]) is CUT
        assert bank.sent == []

    @pytest.mark.parametrize("error", [UNREACHABLE, NOT_ITS_TURN])
    def test_ends_the_run_if_it_fails_meanwhile(
        self, monkeypatch: pytest.MonkeyPatch, pair: tuple[SentBatch, SentBatch], error: CliError
    ) -> None:
        bank = Bank(monkeypatch, error)
        take = bank.batch

        def fail_before(*transfers: Any, **options: Any) -> Answer:
            pair[0].end(CUT)
            return take(*transfers, **options)

        monkeypatch.setattr(bank, "batch", fail_before)
        assert bank.stopped(pair[1]) is CUT
        assert (len(bank.sent), bank.pauses) == (1, [])

    def test_is_waited_for_if_the_bank_does_not_know_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before, behind = batch("a", EndsWhenAwaited), batch("b")
        behind.behind = before
        bank = Bank(monkeypatch, NOT_ITS_TURN, answered(completed(replayed=True)))
        # Nothing was done the first time: what is replayed then was paid earlier.
        assert bank.deliver(behind) == [{"index": 0, **completed(replayed=True)}]
        assert bank.sent == [("b-first", "a-last", False), ("b-first", None, False)]
        assert before.is_done

    def test_a_line_that_was_cut_before_that_leaves_its_doubt(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before, behind = batch("a", EndsWhenAwaited), batch("b")
        behind.behind = before
        bank = Bank(monkeypatch, CUT, NOT_ITS_TURN, answered(completed(replayed=True)))
        assert [answer["replayed"] for answer in bank.deliver(behind)] == [False]

    @pytest.mark.parametrize(
        ("refusals", "named"),
        [("RRR", False), ("RR", True), ("RRSRR", True), ("RRSRRR", False), ("RRRSS", False)],
    )
    def test_is_always_waited_for_when_that_was_needed_a_few_times_in_a_row(
        self, monkeypatch: pytest.MonkeyPatch, refusals: str, *, named: bool
    ) -> None:
        """R is a batch that the bank refuses because of the one before it, S is one that it settles."""
        bank = Bank(monkeypatch, answered(completed()))
        deliveries = Delivery(bank, 60.0, atomic=False)  # type: ignore[arg-type]

        def deliver() -> None:
            before, behind = batch("a", EndsWhenAwaited), batch("b")
            behind.behind = before
            deliveries.deliver(behind)

        for kind in refusals:
            bank.answers = [NOT_ITS_TURN, answered(completed())] if kind == "R" else [answered(completed())]
            deliver()
        bank.sent.clear()
        bank.answers = [answered(completed())]
        deliver()
        assert [after for _, after, _ in bank.sent] == (["a-last"] if named else [None])


class TestSending:
    def test_as_many_as_may_be_are_on_their_way_each_behind_the_one_before(self) -> None:
        arrived: list[SentBatch] = []
        changed, go_on = threading.Condition(), threading.Event()

        def send(sent: SentBatch) -> Answers:
            with changed:
                arrived.append(sent)
                changed.notify_all()
            assert go_on.wait(20)
            return [{"key": sent.batch[0]["idempotency_key"]}]

        sender, before = BatchSender(send, at_once=2), set(threading.enumerate())
        sent = [sender.send([{"idempotency_key": key}]) for key in "abcd"]
        begun = set(threading.enumerate()) - before
        assert [thread.name for thread in begun] == ["batch-sender"] * 2
        with changed:
            assert changed.wait_for(lambda: len(arrived) == 2, 20)
        assert [one.behind for one in sent] == [None, *sent[:3]]
        assert not any(one.is_done for one in sent)
        assert {one.batch[0]["idempotency_key"] for one in arrived} == {"a", "b"}
        go_on.set()
        assert [one.answers() for one in sent] == [[{"key": key}] for key in "abcd"]
        # Whoever looks behind it later does not hold all of the file.
        assert all(one.is_done and one.behind is None for one in sent)
        with changed:
            assert changed.wait_for(lambda: len(arrived) == 4, 20)

    def test_threads_end_with_the_program(self) -> None:
        sender = BatchSender(lambda _: [{"daemon": threading.current_thread().daemon}], at_once=1)
        assert sender.send([{}]).answers() == [{"daemon": True}]

    def test_nothing_is_sent_for_an_empty_batch_nor_behind_it(self) -> None:
        sender = BatchSender(lambda _: [{}], at_once=1)
        first = sender.send([{}])
        empty = sender.send([])
        assert (empty.is_done, empty.answers()) == (True, [])
        first.wait()
        assert first.answers() == [{}]
        go_on = threading.Event()
        sender = BatchSender(lambda _: [{"waited": go_on.wait(20)}], at_once=1)
        first, empty, second = sender.send([{}]), sender.send([]), sender.send([{}])
        assert second.behind is first
        assert empty.behind is None
        go_on.set()
        assert second.answers() == [{"waited": True}]

    def test_what_was_raised_is_raised_where_it_is_waited_for(self) -> None:
        def send(sent: SentBatch) -> Answers:
            if sent.batch[0]["idempotency_key"] == "a":
                raise CUT
            return [{}]

        sender = BatchSender(send, at_once=1)
        first, second = (sender.send([{"idempotency_key": key}]) for key in "ab")
        first.wait()
        assert first.is_done
        for _ in range(2):
            with pytest.raises(CliError) as raised:
                first.answers()
            assert raised.value is CUT
        # The thread lives on.
        assert second.answers() == [{}]
