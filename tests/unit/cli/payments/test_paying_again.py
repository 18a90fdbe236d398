"""A run of payments: what is new is paid, what was paid is skipped, and in doubt somebody decides."""

import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from bankctl import invocation
from bankctl.config import upsert_profile
from tests.unit.cli.conftest import Cli, Outcome
from tests.unit.cli.played_bank import ANN, BOB, Bank, CutLineError, Request

BATCH = "/transactions/batch"
HEADER = "order_id,from,to,amount,currency,reference\n"


def row(number: object, amount: str = "1.00", reference: str = "rent") -> str:
    return f"{number},{ANN},{BOB},{amount},EUR,{reference}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "orders.csv"


def pay(cli: Cli, file: Path, *options: str) -> Outcome:
    return cli("transfer", "--file", str(file), "-o", "json", *options)


def sent_rows(bank: Bank) -> int:
    return sum(len(request.body["transfers"]) for request in bank.sent(BATCH))


def test_a_mended_file_pays_only_what_is_new(ann: Cli, bank: Bank, file: Path) -> None:
    file.write_text(HEADER + row(1, "1.00") + row(2, "2,00x") + row(3, "3.00"))
    assert pay(ann, file).status == 6
    assert bank.balances[BOB] == 4
    at = datetime.now(UTC).astimezone()
    file.write_text(HEADER + row(1, "1.00") + row(2, "2.00") + row(3, "3.00"))
    mended = pay(ann, file)
    assert (mended.status, mended.json["summary"]["paid"], mended.json["summary"]["skipped"]) == (0, 1, 2)
    minutes = {f"{moment:%H:%M}" for moment in (at, at - timedelta(minutes=1))}
    assert any(f"2 of these 3 rows were paid at {minute}" in mended.err for minute in minutes)
    assert bank.balances[BOB] == 6
    assert sent_rows(bank) == 3


@pytest.mark.parametrize("change", ["\n", "\r\n", "\n\n"])
def test_a_line_end_more_pays_nothing(ann: Cli, bank: Bank, file: Path, change: str) -> None:
    file.write_text(HEADER + row(1) + row(2, reference="tea"))
    assert pay(ann, file).status == 0
    with file.open("a") as appended:
        appended.write(change)
    again = pay(ann, file)
    assert (again.status, again.json["summary"]["skipped"], sent_rows(bank)) == (0, 2, 2)


@pytest.mark.parametrize(
    "written",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace(",", ";").replace("1.00", "1,0"),
        lambda text: "\ufeff" + text.replace("EUR", "eur"),
        lambda text: (
            text.splitlines(keepends=True)[0] + "".join(reversed(text.splitlines(keepends=True)[1:]))
        ),
        lambda text: "".join(text.splitlines(keepends=True)[:2]),
    ],
)
def test_the_same_rows_written_otherwise_pay_nothing(
    ann: Cli, bank: Bank, file: Path, written: object
) -> None:
    text = HEADER + row(1) + row(2, reference="tea")
    file.write_text(text)
    assert pay(ann, file).status == 0
    file.write_text(written(text))  # type: ignore[operator]
    again = pay(ann, file)
    assert (again.status, again.json["summary"]["paid"], sent_rows(bank)) == (0, 0, 2), again.err


@pytest.fixture
def two_months(ann: Cli, file: Path) -> Path:
    """A file of five salaries that was paid, and in its place that of the next month: one has changed."""
    salaries = [row(number, f"{number}.00", "salary") for number in range(1, 6)]
    file.write_text(HEADER + "".join(salaries))
    assert pay(ann, file).status == 0
    file.write_text(HEADER + "".join(salaries[:4]) + row(5, "6.00", "salary"))
    return file


def test_a_file_of_which_most_looks_paid_waits_for_a_word(ann: Cli, bank: Bank, two_months: Path) -> None:
    bank.requests.clear()
    refused = pay(ann, two_months)
    assert (refused.status, refused.problem["code"]) == (7, "file_changed")
    assert "4 of these 5 rows were paid at" in refused.problem["detail"]
    assert "Nothing was paid now" in refused.problem["detail"]
    assert all(word in refused.problem["hint"] for word in ("--resume", "--run NAME", "1 payment, 6.00 EUR"))
    assert bank.sent(BATCH) == []
    assert pay(ann, two_months).status == 7


def test_resume_pays_what_is_new(ann: Cli, bank: Bank, two_months: Path) -> None:
    resumed = pay(ann, two_months, "--resume")
    assert (resumed.status, resumed.json["summary"]["paid"], resumed.json["summary"]["skipped"]) == (0, 1, 4)
    assert bank.balances[BOB] == 15 + 6


def test_another_run_pays_all_of_it(ann: Cli, bank: Bank, two_months: Path) -> None:
    assert pay(ann, two_months, "--run", "december").json["summary"]["paid"] == 5
    assert bank.balances[BOB] == 15 + 16


@pytest.mark.parametrize(
    ("name", "before", "after", "paid"),
    [
        ("a few more than there are", [1, 2], [1, 2, 3, 4], 2),
        ("others altogether", [1, 2, 3], [4, 5, 6], 3),
        ("only the first again", [1, 2, 3], [1], 0),
        ("one is the same", [1, 2, 3], [3, 4, 5], 2),
    ],
)
def test_a_file_of_which_less_looks_paid_pays_what_is_new(
    ann: Cli, bank: Bank, file: Path, name: str, before: list[int], after: list[int], paid: int
) -> None:
    file.write_text(HEADER + "".join(row(number, f"{number}.00") for number in before))
    assert pay(ann, file).status == 0
    file.write_text(HEADER + "".join(row(number, f"{number}.00") for number in after))
    again = pay(ann, file)
    assert (again.status, again.json["summary"]["paid"]) == (0, paid), name
    assert again.json["summary"]["skipped"] == len(after) - paid
    assert ("paid at" in again.err) is (len(after) > paid)


def test_most_of_it_with_more_behind_it_waits_for_a_word(ann: Cli, bank: Bank, file: Path) -> None:
    file.write_text(HEADER + row(1, "1.00") + row(2, "2.00"))
    assert pay(ann, file).status == 0
    file.write_text(HEADER + row(1, "1.00") + row(2, "2.00") + row(3, "3.00"))
    assert pay(ann, file).status == 7
    assert pay(ann, file, "--resume").json["summary"]["paid"] == 1


def test_a_row_like_a_paid_one_with_another_number_waits_for_a_word(ann: Cli, bank: Bank, file: Path) -> None:
    file.write_text(HEADER + row("A-1", "5.00") + row("A-2", "7.00"))
    assert pay(ann, file).status == 0
    others = "".join(row(f"B-{number}", f"{number}.50") for number in range(1, 6))
    file.write_text(HEADER + row("B-0", "5.00") + others)
    refused = pay(ann, file)
    assert (refused.status, refused.problem["code"]) == (7, "file_changed")
    assert "line 2 ask" in refused.problem["detail"]
    assert bank.balances[BOB] == 12


def test_a_row_put_before_its_equal_is_the_one_that_is_paid(ann: Cli, bank: Bank, file: Path) -> None:
    file.write_text(HEADER + row("A-1", "5.00"))
    assert pay(ann, file).status == 0
    file.write_text(HEADER + row("A-0", "5.00") + row("A-1", "5.00"))
    again = pay(ann, file)
    assert (again.status, again.json["summary"]["paid"], bank.balances[BOB]) == (0, 1, 10)


class TestAKeyColumn:
    OPTION = ("--key-column", "order_id")

    def test_rows_are_known_by_it_alone(self, ann: Cli, bank: Bank, file: Path) -> None:
        file.write_text(HEADER + row("A-1") + row("A-2") + row("A-3", "9999.00"))
        assert pay(ann, file, *self.OPTION).json["summary"]["paid"] == 2
        # A failed row may be mended in all of its cells.
        file.write_text(HEADER + row("A-2") + row("A-1") + row("A-3", "9.00"))
        again = pay(ann, file, *self.OPTION)
        assert (again.status, again.json["summary"]["paid"], bank.balances[BOB]) == (0, 1, 11)

    def test_a_paid_row_that_says_something_else_now_is_refused(
        self, ann: Cli, bank: Bank, file: Path
    ) -> None:
        file.write_text(HEADER + row("A-1", "1.00"))
        assert pay(ann, file, *self.OPTION).status == 0
        file.write_text(HEADER + row("A-1", "2.00") + row("A-2"))
        again = pay(ann, file, *self.OPTION)
        (refused,) = again.json["failed_rows"]
        assert (again.status, refused["line"], refused["problem"]["code"]) == (6, 2, "paid_otherwise")
        assert "A-1 was paid at" in refused["problem"]["detail"]
        assert bank.balances[BOB] == 2

    @pytest.mark.parametrize("first", [True, False])
    def test_a_run_stays_with_what_tells_its_rows_apart(
        self, ann: Cli, bank: Bank, file: Path, *, first: bool
    ) -> None:
        file.write_text(HEADER + row("A-1"))
        ways = [self.OPTION, ()] if first else [(), self.OPTION]
        assert pay(ann, file, *ways[0]).status == 0
        other = pay(ann, file, *ways[1])
        assert (other.status, other.problem["code"]) == (2, "key_column_of_another_run")
        assert ("without --key-column" in other.problem["hint"]) is not first
        assert bank.balances[BOB] == 1

    def test_the_bank_tells_what_another_machine_knows_rows_by(
        self, ann: Cli, bank: Bank, file: Path, home: Path
    ) -> None:
        file.write_text(HEADER + row("A-1"))
        assert pay(ann, file).status == 0
        shutil.rmtree(home / "state" / "transfers")
        for more in ((), ("--resume",), ("--run", "orders")):
            other = pay(ann, file, *self.OPTION, *more)
            assert (other.status, other.problem["code"]) == (7, "key_column_of_another_run")
        assert bank.balances[BOB] == 1


class TestTheSameBank:
    """Keys rest on the bank's own id and the user, never on an address."""

    def respelt(self, ann: Cli, bank: Bank, url: str, certificate: Path) -> None:
        upsert_profile("test", url=url, ca_file=certificate)
        assert (
            ann("login", "--email", "ann@example.com", "--password-stdin", stdin="correct horse\n").status
            == 0
        )
        bank.requests.clear()

    @pytest.fixture
    def other_url(self, bank: Bank, certificate: tuple[Path, Path]) -> Iterator[str]:
        from tests.unit.cli.bank_server import serve  # noqa: PLC0415

        with serve(bank, *certificate) as url:
            yield url

    @pytest.mark.parametrize("remembered", [True, False])
    def test_at_another_address_pays_nothing_twice(
        self,
        ann: Cli,
        bank: Bank,
        file: Path,
        home: Path,
        other_url: str,
        certificate: tuple[Path, Path],
        *,
        remembered: bool,
    ) -> None:
        file.write_text(HEADER + row(1) + row(2, "2.00"))
        assert pay(ann, file).status == 0
        if not remembered:
            shutil.rmtree(home / "state" / "transfers")
        self.respelt(ann, bank, other_url, certificate[0])
        again = pay(ann, file, "--resume")
        assert again.json["summary"]["skipped" if remembered else "replayed"] == 2
        assert (again.status, again.json["summary"]["paid"], bank.balances[BOB]) == (0, 0, 3)

    def test_at_another_address_finishes_what_is_open(
        self, ann: Cli, bank: Bank, other_url: str, certificate: tuple[Path, Path]
    ) -> None:
        def cut(_: Request) -> None:
            raise CutLineError

        bank.times(3, "/transactions/transfer", cut, after=True)
        assert ann("transfer", ANN, BOB, "5").status == 9
        self.respelt(ann, bank, other_url, certificate[0])
        (settled,) = ann("transactions", "retry", "-o", "json").json
        assert (settled["outcome"], settled["replayed"], bank.balances[BOB]) == ("completed", True, 5)

    def test_another_bank_at_the_same_address_is_noticed(self, ann: Cli, bank: Bank, file: Path) -> None:
        file.write_text(HEADER + row(1))
        assert pay(ann, file).status == 0
        bank.bank_id = str(uuid.uuid4())
        refused = pay(ann, file)
        assert (refused.status, refused.problem["code"]) == (4, "another_bank")
        assert (
            ann("login", "--email", "ann@example.com", "--password-stdin", stdin="correct horse\n").status
            == 0
        )
        assert pay(ann, file, "--run", "orders").json["summary"]["replayed"] == 0

    def test_it_is_asked_once_for_single_payments(self, ann: Cli, bank: Bank) -> None:
        for _ in range(3):
            assert ann("transfer", ANN, BOB, "1").status == 0
        assert bank.paths().count("/bank") == 1


def test_a_copy_under_another_name_is_no_other_run(ann: Cli, bank: Bank, file: Path) -> None:
    file.write_text(HEADER + row(1))
    assert pay(ann, file).status == 0
    copy = file.with_name("orders (1).csv")
    shutil.copy(file, copy)
    refused = pay(ann, copy)
    assert (refused.status, refused.problem["code"]) == (7, "file_paid_in_another_run")
    assert "--run orders continues" in refused.problem["hint"]
    assert pay(ann, copy, "--run", "orders").json["summary"]["skipped"] == 1
    assert pay(ann, copy, "--run", "once more").json["summary"]["paid"] == 1


def test_a_run_that_only_the_bank_knows_waits_for_a_word(
    ann: Cli, bank: Bank, file: Path, home: Path
) -> None:
    """Results are lost where each command runs on a machine of its own, and next month's file comes."""
    file.write_text(HEADER + row(1, "1.00") + row(2, "2.00") + row(3, "x"))
    assert pay(ann, file).status == 6
    shutil.rmtree(home / "state" / "transfers")
    bank.requests.clear()
    refused = pay(ann, file)
    assert (refused.status, refused.problem["code"]) == (7, "run_unknown_here")
    assert "2 of the first 2 rows were paid at 2026-11-23" in refused.problem["detail"]
    assert bank.sent(BATCH) == []
    file.write_text(HEADER + row(1, "1.00") + row(2, "2.00") + row(3, "3.00"))
    resumed = pay(ann, file, "--resume").json["summary"]
    assert (resumed["paid"], resumed["replayed"], bank.balances[BOB]) == (1, 2, 6)
    assert pay(ann, file).json["summary"]["skipped"] == 3


def test_two_commands_do_not_pay_one_run_at_once(ann: Cli, bank: Bank, file: Path, home: Path) -> None:
    file.write_text(HEADER + row(1))
    assert pay(ann, file).status == 0
    bank.requests.clear()
    (lock,) = (home / "state" / "locks").glob("*.run")
    descriptor = os.open(lock, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        refused = pay(ann, file, "--results", str(file.with_name("elsewhere.jsonl")))
        assert (refused.status, refused.problem["code"]) == (7, "run_at_work")
        assert f"process {os.getpid()}" in refused.problem["detail"]
        assert bank.sent(BATCH) == []
        assert pay(ann, file, "--run", "another").status == 0
    finally:
        os.close(descriptor)


class TestResultsFiles:
    @pytest.mark.parametrize(
        "content", [b"no line end", b"a,b\n1,2\n", b'{"a": 1}\n', b'{"run":{}}\n', b'{"run":{"x', b"\x00"]
    )
    def test_a_file_that_is_none_is_left_as_it_is(
        self, ann: Cli, bank: Bank, file: Path, content: bytes
    ) -> None:
        file.write_text(HEADER + row(1))
        path = file.with_name("important")
        path.write_bytes(content)
        refused = pay(ann, file, "--results", str(path))
        assert (refused.status, refused.problem["code"]) == (2, "no_results_file")
        assert path.read_bytes() == content
        assert bank.sent(BATCH) == []

    def test_nor_are_folders_and_devices_written(self, ann: Cli, bank: Bank, file: Path) -> None:
        file.write_text(HEADER + row(1))
        for path in (str(file.parent), "/dev/null", str(file)):
            assert pay(ann, file, "--results", path).problem["code"] == "no_results_file"
        assert file.read_text() == HEADER + row(1)
        assert bank.sent(BATCH) == []

    def test_an_empty_one_may_be_given(self, ann: Cli, file: Path) -> None:
        file.write_text(HEADER + row(1))
        path = file.with_name("results")
        path.touch()
        for skipped in (0, 1):
            outcome = pay(ann, file, "--results", str(path))
            assert (outcome.status, outcome.json["summary"]["skipped"]) == (0, skipped)

    def test_each_run_and_user_has_its_own(self, ann: Cli, bank: Bank, file: Path) -> None:
        paths = []
        for name in ("a", "A", "a b", "a-b", "Zahlungen März"):
            file.write_text(HEADER + row(1))
            paths.append(pay(ann, file, "--run", name).json["results_file"])
        assert len({path.lower() for path in paths}) == len(paths)

    def test_a_broken_one_says_so(self, ann: Cli, bank: Bank, file: Path) -> None:
        file.write_text(HEADER + row(1))
        path = Path(pay(ann, file).json["results_file"])
        path.write_bytes(path.read_bytes() + b"rubbish\n")
        refused = pay(ann, file)
        assert (refused.status, refused.problem["code"]) == (2, "results_file_broken")


class TestUnpaidRows:
    def test_they_are_mended_in_their_own_file(self, ann: Cli, bank: Bank, tmp_path: Path) -> None:
        file = tmp_path / "orders.csv"
        header, rows = (
            "note;From;to;amount;currency;reference;\n",
            [
                f"a;{ANN};{BOB};1,00;EUR;rent;\n",
                f'"b;""b""";{ANN};{BOB};two;EUR;rent;seen\n',
                f"c;{ANN};{BOB};9999;EUR;much;\n",
                f"d;{ANN}\n",
            ],
        )
        file.write_text(header + "".join(rows))
        outcome = pay(ann, file)
        failed = Path(outcome.json["failed_rows_file"])
        assert failed == tmp_path / "orders.failed.csv"
        assert str(failed) in outcome.problem["hint"]
        assert "the others are paid" in outcome.problem["detail"]
        lines = failed.read_text().splitlines(keepends=True)
        assert lines[0] == f"reason_not_paid;{header}"
        assert lines[1].startswith("amount: 'two'")
        assert all(line.endswith(f";{whole}") for line, whole in zip(lines[1:], rows[1:], strict=True))

        failed.write_text("".join(lines[:3]).replace("two", "2").replace("9999", "3"))
        mended = pay(ann, failed)
        assert (mended.status, mended.json["summary"]["paid"], mended.json["run"]) == (0, 2, "orders")
        assert bank.balances[BOB] == 6
        assert pay(ann, failed).json["summary"]["skipped"] == 2

    def test_what_is_still_unpaid_takes_its_place(self, ann: Cli, bank: Bank, tmp_path: Path) -> None:
        file, failed = tmp_path / "orders.csv", tmp_path / "orders.failed.csv"
        file.write_text(HEADER + row(1) + row(2, "x") + row(3, "y"))
        assert pay(ann, file).status == 6
        failed.write_text(failed.read_text().replace(",x,", ",2.00,"))
        assert pay(ann, failed).status == 6
        assert failed.read_text().count("\n") == 2
        assert failed.read_text().startswith(f"reason_not_paid,{HEADER}")
        file.write_text(HEADER + row(1) + row(2, "2.00") + row(3, "3.00"))
        assert pay(ann, file).json["summary"]["paid"] == 1
        assert not failed.exists()
        assert bank.balances[BOB] == 6

    def test_another_file_in_its_place_is_left_alone(self, ann: Cli, bank: Bank, tmp_path: Path) -> None:
        file, other = tmp_path / "orders.csv", tmp_path / "orders.failed.csv"
        file.write_text(HEADER + row(1))
        other.write_text("mine\n")
        refused = pay(ann, file)
        assert (refused.status, refused.problem["code"]) == (2, "failed_rows_file_in_the_way")
        assert other.read_text() == "mine\n"
        assert bank.sent(BATCH) == []

    def test_a_file_with_such_a_name_is_never_written_over(
        self, ann: Cli, bank: Bank, tmp_path: Path
    ) -> None:
        file = tmp_path / "orders.failed.csv"
        file.write_text(HEADER + row(1) + row(2, "x"))
        outcome = pay(ann, file)
        assert file.read_text() == HEADER + row(1) + row(2, "x")
        assert outcome.json["failed_rows_file"] == str(tmp_path / "orders.failed.failed.csv")

    def test_bytes_that_are_no_text_come_back_as_they_were(
        self, ann: Cli, bank: Bank, tmp_path: Path
    ) -> None:
        file = tmp_path / "latin.csv"
        file.write_bytes((HEADER + row(1) + row("2", reference="caf\xe9")).encode("latin-1"))
        failed = Path(pay(ann, file).json["failed_rows_file"])
        assert (
            failed.read_bytes()
            .splitlines()[1]
            .endswith(row("2", reference="caf\xe9").strip().encode("latin-1"))
        )

    def test_when_nothing_was_paid_nothing_is_said_to_be(self, ann: Cli, bank: Bank, tmp_path: Path) -> None:
        file = tmp_path / "orders.csv"
        file.write_text(HEADER + row(1, "x") + row(2, "9999"))
        outcome = pay(ann, file)
        assert outcome.status == 6
        assert "no row was paid" in outcome.problem["detail"]
        assert "the others are paid" not in outcome.err


class TestStandardInput:
    def test_it_is_read_once_and_needs_a_name(self, ann: Cli, bank: Bank, home: Path) -> None:
        text = HEADER + row(1) + row(2, "x")
        refused = ann("transfer", "--file", "-", "-o", "json", stdin=text)
        assert (refused.status, refused.problem["code"]) == (2, "run_needed")
        outcome = ann("transfer", "--file", "-", "--run", "march", "-o", "json", stdin=text)
        assert outcome.json["summary"]["paid"] == 1
        assert Path(outcome.json["failed_rows_file"]).is_relative_to(home / "state")
        again = ann("transfer", "--file", "-", "--run", "march", "-o", "json", stdin=text)
        assert (again.json["summary"]["skipped"], bank.balances[BOB]) == (1, 1)

    def test_a_closed_one_says_so(self, ann: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        from bankctl.payments import file as payment_file  # noqa: PLC0415

        class NoStreams:
            stdin = None

        monkeypatch.setattr(payment_file, "sys", NoStreams)
        outcome = ann("transfer", "--file", "-", "--run", "march", "-o", "json")
        assert (outcome.status, outcome.problem["code"]) == (2, "file_unreadable")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--file", "x.csv", ANN], "FROM"),
        (["--file", "x.csv", ANN, BOB, "5"], "FROM and TO and AMOUNT"),
        (["--file", "x.csv", "--currency", "EUR"], "--currency"),
        (["--file", "x.csv", "--reference", "r"], "--reference"),
        (["--file", "x.csv", "--idempotency-key", "k"], "--idempotency-key"),
        ([ANN, BOB, "5", "--run", "r"], "--run"),
        ([ANN, BOB, "5", "--results", "r"], "--results"),
        ([ANN, BOB, "5", "--wait", "5"], "--wait"),
        ([ANN, BOB, "5", "--resume"], "--resume"),
        ([ANN, BOB, "5", "--atomic"], "--atomic"),
        (["--file", "x.csv", "--dry-run", "--wait", "5"], "--wait"),
        ([ANN, BOB, "5", "--key-column", "k"], "--key-column"),
        (["--file", "x.csv", "--wait", "nan"], "'nan' is not a number of seconds"),
        (["--file", "x.csv", "--wait", "inf"], "'inf' is not a number of seconds"),
        (["--file", "x.csv", "--wait", "1e999"], "'1e999' is not a number of seconds"),
        (["--file", "x.csv", "--wait=-1"], "'-1' is not a number of seconds"),
    ],
)
def test_options_that_do_not_belong_together_are_refused(
    ann: Cli, bank: Bank, arguments: list[str], named: str
) -> None:
    outcome = ann("transfer", *arguments, "-o", "json")
    assert (outcome.status, outcome.problem["code"]) == (2, "usage")
    assert named in outcome.problem["detail"]
    assert bank.requests == []


@pytest.mark.parametrize("command", [("admin", "prove"), ("events", "tail")])
def test_no_other_command_waits_for_no_number(ann: Cli, bank: Bank, command: tuple[str, ...]) -> None:
    for seconds in ("nan", "inf", "-1"):
        assert ann(*command, f"--wait={seconds}").status == 2
    assert bank.requests == []


class TestOnATerminal:
    @pytest.fixture(autouse=True)
    def terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("BANKCTL_YES", raising=False)
        monkeypatch.setattr(
            invocation.Invocation, "interactive", property(lambda run: not run.no_input), raising=True
        )

    @pytest.fixture
    def paid(self, ann: Cli, bank: Bank, file: Path) -> Path:
        file.write_text(HEADER + row(1) + row(2, "2.00"))
        assert ann("transfer", "--file", str(file), stdin="y\n").status == 0
        file.write_text(HEADER + row(1) + row(2, "2.00") + row(3, "3.00"))
        return file

    @pytest.mark.parametrize(
        ("answer", "status", "paid_in_all"), [("y\n", 0, 6), ("n\n", 130, 3), ("", 130, 3)]
    )
    def test_the_person_decides(
        self, ann: Cli, bank: Bank, paid: Path, answer: str, status: int, paid_in_all: int
    ) -> None:
        outcome = ann("transfer", "--file", str(paid), stdin=answer)
        assert outcome.status == status
        assert "2 of these 3 rows were paid at" in outcome.err
        assert "make 1 payment, 3.00 EUR from orders.csv?" in outcome.err
        assert bank.balances[BOB] == Decimal(paid_in_all)

    def test_yes_is_no_answer_to_what_is_new(self, ann: Cli, bank: Bank, paid: Path) -> None:
        assert ann("transfer", "--file", str(paid), "--yes").status == 7
        assert ann("transfer", "--file", str(paid), "--yes", "--resume").status == 0
        assert bank.balances[BOB] == 6

    def test_who_goes_on_with_the_same_file_is_not_asked_again(
        self, ann: Cli, bank: Bank, file: Path, paid: Path
    ) -> None:
        file.write_text(HEADER + row(1) + row(2, "2.00"))
        outcome = ann("transfer", "--file", str(file), stdin="")
        assert (outcome.status, bank.balances[BOB]) == (0, 3)


def test_nothing_of_a_file_is_paid_whose_rows_end_nowhere(ann: Cli, bank: Bank, file: Path) -> None:
    file.write_text(HEADER + row(1) + f'2,{ANN},{BOB},1.00,EUR,"quoted "badly\n' + row(3))
    refused = pay(ann, file)
    assert (refused.status, refused.problem["code"]) == (2, "file_not_csv")
    assert "lines 3 to 4 were not read" in refused.problem["detail"]
    assert bank.sent(BATCH) == []


def test_a_file_that_breaks_while_it_is_paid_keeps_what_was_paid(
    ann: Cli, bank: Bank, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long file is read again for each use, and somebody may write to it meanwhile."""
    monkeypatch.setattr("bankctl.payments.file._BYTES_KEPT", 1000)
    file.write_text(HEADER + "".join(row(number, "0.01") for number in range(600)))

    def write_to_it(_: Request) -> None:
        with file.open("r+b") as open_file:
            open_file.seek(-30, os.SEEK_END)
            open_file.write(b',"' + b"x" * 28)

    bank.once("/bank", write_to_it)
    stopped = pay(ann, file)
    assert (stopped.status, stopped.problem["code"]) == (2, "file_not_csv")
    paid = len(bank.settled)
    kept = [
        json.loads(line) for path in file.parent.rglob("*.jsonl") for line in path.read_text().splitlines()
    ]
    assert len([record for record in kept if record.get("result") == "paid"]) == paid
