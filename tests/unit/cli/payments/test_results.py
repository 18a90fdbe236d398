"""What is known of a run on this machine: its results, its lock, and the files that were paid under it."""

import fcntl
import hashlib
import json
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bankctl.errors import CliError, ExitStatus
from bankctl.payments import results as results_module
from bankctl.payments.results import (
    PaidFiles,
    ResultsFile,
    RunIdentity,
    Summary,
    default_results_path,
    run_lock,
)
from tests.unit.cli.played_bank import ANN, BANK_ID, BOB, USER

IDENTITY = RunIdentity(bank_id=BANK_ID, user_id=USER, name="march", known_by="")


def record(row: str | None, result: str = "paid", *, amount: str = "1.00", **more: Any) -> dict[str, Any]:
    return {"line": 2, "result": result, "row": row, "amount": amount, "currency": "EUR", **more}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


def loaded(path: Path, identity: RunIdentity = IDENTITY) -> ResultsFile:
    results = ResultsFile(path, identity=identity)
    results.load()
    return results


def begun(path: Path, *records: dict[str, Any], sha256: str = "f1") -> None:
    results = loaded(path)
    results.begin(sha256=sha256, name="orders.csv")
    results.add(records)


def refusal(path: Path, identity: RunIdentity = IDENTITY) -> CliError:
    before = path.read_bytes()
    with pytest.raises(CliError) as refused:
        loaded(path, identity)
    assert refused.value.exit_status is ExitStatus.USAGE
    assert path.read_bytes() == before
    return refused.value


class TestIdentity:
    def test_files_of_a_run_are_known_by_bank_user_and_name(self) -> None:
        digest = hashlib.sha256(f"{BANK_ID}\n{USER}\nmarch".encode()).hexdigest()[:24]
        assert IDENTITY.digest == digest
        assert IDENTITY.file_name == f"march-{digest}"
        others = [replace(IDENTITY, **{part: "x"}) for part in ("bank_id", "user_id", "name")]
        assert len({one.digest for one in [IDENTITY, *others]}) == 4

    @pytest.mark.parametrize(
        ("name", "readable"),
        [
            ("Zahlungen März", "Zahlungen-M-rz"),
            ("a b/c", "a-b-c"),
            ("  x_1.2-3  ", "x_1.2-3"),
            ("€€€", "run"),
            ("x" * 41, "x" * 40),
            (f"{'x' * 39} y", "x" * 39),
            ("\udce9", "run"),
        ],
    )
    def test_their_names_can_be_read_and_written_everywhere(self, name: str, readable: str) -> None:
        identity = replace(IDENTITY, name=name)
        assert identity.file_name == f"{readable}-{identity.digest}"


class TestLoading:
    def test_nothing_is_known_of_a_run_without_a_file(self, path: Path) -> None:
        results = loaded(path)
        assert results.is_new
        assert (results.rows, results.unpaid, results.broken) == ({}, set(), 0)
        assert not path.exists()

    def test_what_was_kept_is_known_again(self, path: Path) -> None:
        paid, failed = record("a"), record("b", "failed", amount="2.00")
        begun(path, paid, failed, record(None, "refused"), record(None, "refused"))
        results = loaded(path)
        assert not results.is_new
        assert results.digests == {"f1"}
        assert results.rows == {"a": paid, "b": failed}
        assert (results.unpaid, results.broken) == ({"b"}, 2)

    def test_unpaid_and_broken_rows_are_those_of_the_latest_command(self, path: Path) -> None:
        begun(path, record("a", "failed"), record("b", "failed"), record(None, "refused"))
        begun(path, record("b", "failed", attempt=2), sha256="f2")
        results = loaded(path)
        assert (results.unpaid, results.broken, results.digests) == ({"b"}, 0, {"f1", "f2"})
        assert results.rows["b"]["attempt"] == 2
        assert set(results.rows) == {"a", "b"}

    def test_a_paid_row_stays_paid(self, path: Path) -> None:
        begun(path, record("a", "failed"), record("a"), record("a", "failed"), record("a", "refused"))
        results = loaded(path)
        assert results.rows == {"a": record("a")}
        assert results.unpaid == set()

    def test_a_line_that_was_cut_is_unknown_and_written_anew(self, path: Path) -> None:
        begun(path, record("a"), record("b"))
        path.write_bytes(path.read_bytes()[:-10])
        assert set(loaded(path).rows) == {"a"}
        begun(path, record("c"), sha256="f2")
        results = loaded(path)
        assert (set(results.rows), results.digests) == ({"a", "c"}, {"f1", "f2"})
        assert all(json.loads(line) for line in path.read_text().splitlines())

    def test_a_file_that_has_only_its_first_line_knows_nothing(self, path: Path) -> None:
        begun(path)
        first = path.read_bytes().splitlines(keepends=True)[0]
        for content in (first, first.rstrip(b"\n")):
            path.write_bytes(content)
            assert loaded(path).is_new

    def test_an_empty_line_is_no_row(self, path: Path) -> None:
        begun(path, record("a"))
        path.write_bytes(path.read_bytes() + b"\n\n")
        begun(path, record("b"))
        assert set(loaded(path).rows) == {"a", "b"}

    def test_a_long_file_is_read_to_its_end(self, path: Path) -> None:
        begun(path, *[record(f"row-{number}") for number in range(500)])
        assert len(loaded(path).rows) == 500

    @pytest.mark.parametrize(
        "line",
        [b"rubbish", b"{}", b'{"row":"a"}', b"[]", b"7", b'{"row":[],"result":"paid"}', b'{"file":{}}'],
    )
    def test_a_line_that_is_no_record_breaks_the_file(self, path: Path, line: bytes) -> None:
        begun(path, record("a"))
        path.write_bytes(path.read_bytes() + line + b"\n")
        error = refusal(path)
        assert error.code == "results_file_broken"
        assert f"{path} is broken: " in error.message
        assert error.hint == "move it away; the bank knows which rows were paid, and --resume continues"

    @pytest.mark.parametrize("content", [b"x", b'{"run":{}}\n', b'{"run":{"x', b'{"run":{"a":1}}\n', b"\n"])
    def test_another_file_is_not_touched(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        error = refusal(path)
        assert error.code == "no_results_file"
        assert error.message == (
            f"{path} is not a results file of this program; it was left as it is and nothing was sent"
        )
        assert error.hint == ("name a file with --results that does not exist yet, or leave --results out")

    def test_a_folder_is_none(self, tmp_path: Path) -> None:
        with pytest.raises(CliError) as refused:
            loaded(tmp_path)
        assert refused.value.code == "no_results_file"
        assert str(tmp_path) in refused.value.message

    @pytest.mark.parametrize("part", ["bank_id", "user_id", "name"])
    def test_those_of_another_run_bank_or_user_are_refused(self, path: Path, part: str) -> None:
        begun(path, record("a"))
        error = refusal(path, replace(IDENTITY, **{part: "x"}))
        assert error.code == "results_file_of_another_run"
        assert error.message == f"{path} holds the results of another run, bank or user"
        assert error.hint == "name another file with --results"

    @pytest.mark.parametrize(
        ("before", "now", "named", "way"),
        [
            ("", "order_id", "content", "without --key-column"),
            ("order_id", "", "order_id", "with --key-column order_id"),
            ("order_id", "id", "order_id", "with --key-column order_id"),
        ],
    )
    def test_rows_that_were_known_otherwise_are_refused(
        self, path: Path, before: str, now: str, named: str, way: str
    ) -> None:
        ResultsFile(path, identity=replace(IDENTITY, known_by=before)).begin(sha256="f1", name="o.csv")
        error = refusal(path, replace(IDENTITY, known_by=now))
        assert error.code == "key_column_of_another_run"
        assert error.message == (
            f"the rows of run 'march' are known by their {named}: known otherwise they would be paid again"
        )
        assert error.hint == f"go on {way}, or start another run with --run NAME"

    def test_a_place_that_cannot_be_read_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / ("x" * 300)
        with pytest.raises(CliError) as refused:
            loaded(path)
        assert refused.value.code == "results_file_unreadable"
        assert refused.value.message == f"{path} cannot be read: File name too long"


class TestKeeping:
    def test_a_new_file_is_its_owners_and_says_whose_run_it_is(self, tmp_path: Path) -> None:
        path = tmp_path / "some" / "where" / "results.jsonl"
        before = os.umask(0)
        try:
            ResultsFile(path, identity=IDENTITY).begin(sha256="f1", name="orders.csv")
        finally:
            os.umask(before)
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
        first, second = map(json.loads, path.read_text().splitlines())
        assert first == {"run": {"bank_id": BANK_ID, "user_id": USER, "name": "march", "known_by": ""}}
        assert second["file"].keys() == {"sha256", "name", "begun_at"}
        assert (second["file"]["sha256"], second["file"]["name"]) == ("f1", "orders.csv")
        assert second["file"]["begun_at"].endswith("+00:00")

    def test_an_empty_file_is_made_one(self, path: Path) -> None:
        path.touch()
        begun(path, record("a"))
        assert set(loaded(path).rows) == {"a"}

    def test_a_place_that_cannot_be_written_is_named_before_anything_is_paid(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        path = tmp_path / "file" / "results.jsonl"
        with pytest.raises(CliError) as refused:
            ResultsFile(path, identity=IDENTITY).begin(sha256="f1", name="orders.csv")
        error = refused.value
        assert (error.exit_status, error.code) == (ExitStatus.USAGE, "results_file_unwritable")
        assert error.message.startswith(f"{path} cannot be written: ")
        assert error.message.endswith("; nothing was paid")
        assert "None" not in error.message
        assert error.hint == "name another file with --results"

    def test_outcomes_are_on_the_disk_when_they_are_kept(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun(path)
        synced: list[bytes] = []
        force = os.fsync

        def fsync(descriptor: int) -> None:
            assert os.fstat(descriptor).st_ino == path.stat().st_ino
            synced.append(path.read_bytes())
            force(descriptor)

        monkeypatch.setattr(results_module.os, "fsync", fsync)
        loaded(path).add([record("a"), record("b")])
        assert synced == [path.read_bytes()]
        assert set(loaded(path).rows) == {"a", "b"}

    def test_what_was_paid_and_cannot_be_kept_is_no_failure(self, path: Path) -> None:
        results = ResultsFile(path, identity=IDENTITY)
        with pytest.raises(CliError) as raised:
            results.add([record("a")])
        error = raised.value
        assert (error.exit_status, error.code) == (ExitStatus.OUTCOME_UNKNOWN, "results_not_kept")
        assert error.message == (
            f"rows were paid, but their outcome cannot be written to {path}: No such file or directory"
        )
        assert error.hint == (
            "free some space, then run the same command again: it continues and pays nothing twice"
        )

    def test_each_run_has_a_place_of_its_own(self, home: Path) -> None:
        path = default_results_path(IDENTITY)
        assert path == home / "state" / "transfers" / f"{IDENTITY.file_name}.jsonl"
        assert path.parent.stat().st_mode & 0o777 == 0o700


class TestTheLock:
    def test_a_run_is_paid_by_one_command_at_a_time(self, home: Path) -> None:
        with run_lock(IDENTITY):
            (file,) = (home / "state" / "locks").iterdir()
            assert file.name == f"{IDENTITY.file_name}.run"
            assert file.stat().st_mode & 0o777 == 0o600
            holder = file.read_text()
            assert holder.startswith(f"process {os.getpid()}, since 20")
            with pytest.raises(CliError) as refused, run_lock(IDENTITY):
                pytest.fail("both have it")
            assert file.read_text() == holder
            with run_lock(replace(IDENTITY, name="april")):
                pass
        error = refused.value
        assert (error.exit_status, error.code) == (ExitStatus.CONFLICT, "run_at_work")
        assert error.message == f"run 'march' is being paid already ({holder}); this command did nothing"
        assert error.hint == "wait until that command has ended; then run this one again"

    def test_the_next_command_gets_it(self, home: Path) -> None:
        with run_lock(IDENTITY):
            pass
        (file,) = (home / "state" / "locks").iterdir()
        file.write_text("x" * 200)
        with run_lock(IDENTITY):
            assert file.read_text().startswith("process ")
            assert "x" not in file.read_text()

    def test_an_error_gives_it_back(self, home: Path) -> None:
        for _ in range(2):
            with pytest.raises(RuntimeError), run_lock(IDENTITY):
                raise RuntimeError
        open_files = set()
        for descriptor in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                open_files.add(descriptor.readlink())
        assert not open_files & set((home / "state" / "locks").iterdir())

    def test_a_holder_that_has_not_said_who_it_is_is_told_as_such(self, home: Path) -> None:
        with run_lock(IDENTITY):
            (file,) = (home / "state" / "locks").iterdir()
        for content, told in ((b"", ""), (b"\xff" + b"x" * 200, f" (\ufffd{'x' * 99})")):
            file.write_bytes(content)
            descriptor = os.open(file, os.O_RDWR)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            with pytest.raises(CliError) as refused, run_lock(IDENTITY):
                pytest.fail("both have it")
            os.close(descriptor)
            assert (
                refused.value.message == f"run 'march' is being paid already{told}; this command did nothing"
            )


class TestPaidFiles:
    def test_the_first_run_of_a_content_is_remembered(self, home: Path) -> None:
        paid = PaidFiles(IDENTITY, "f1")
        assert paid.run_name() is None
        paid.remember("march")
        paid.remember("april")
        assert PaidFiles(replace(IDENTITY, name="other"), "f1").run_name() == "march"
        (file,) = (home / "state" / "transfers" / "files").iterdir()
        assert file.name == hashlib.sha256(f"{BANK_ID}\n{USER}\nf1".encode()).hexdigest()[:40]
        others = [(replace(IDENTITY, bank_id="x"), "f1"), (replace(IDENTITY, user_id="x"), "f1")]
        for identity, content in [*others, (IDENTITY, "f2")]:
            assert PaidFiles(identity, content).run_name() is None

    def test_any_name_comes_back_as_it_was(self, home: Path) -> None:
        for number, name in enumerate(("März", "\udce9")):
            PaidFiles(IDENTITY, str(number)).remember(name)
            assert PaidFiles(IDENTITY, str(number)).run_name() == name

    def test_an_empty_note_is_none(self, home: Path) -> None:
        PaidFiles(IDENTITY, "f1").remember("")
        assert PaidFiles(IDENTITY, "f1").run_name() is None


class TestSummary:
    def add(self, summary: Summary, result: str, amount: str, currency: str = "EUR", **more: Any) -> None:
        earlier = more.pop("earlier", False)
        kept = {
            "result": result,
            "amount": amount,
            "currency": currency,
            "from": ANN,
            "to": BOB,
            "transaction_id": f"t-{amount}",
            **more,
        }
        summary.add(kept, earlier=earlier, cells=[amount])

    def test_each_row_is_counted_once_under_what_became_of_it(self) -> None:
        summary = Summary()
        assert summary.replayed_transaction is None
        assert summary.document() == {
            "rows": 0,
            "paid": 0,
            "failed": 0,
            "refused": 0,
            "skipped": 0,
            "replayed": 0,
            "amounts": {},
        }
        self.add(summary, "paid", "1.50", "USD", replayed=False)
        self.add(summary, "paid", "2.00")
        self.add(summary, "paid", "3.00")
        self.add(summary, "paid", "4.00", earlier=True, replayed=True)
        self.add(summary, "paid", "5.00", replayed=True)
        self.add(summary, "failed", "6.00", replayed=True)
        self.add(summary, "refused", "7.00")
        self.add(summary, "refused", "two")
        self.add(summary, "refused", "8.00", "euros")
        self.add(summary, "failed", "9.00", earlier=True)
        assert summary.document() == {
            "rows": 10,
            "paid": 3,
            "failed": 2,
            "refused": 3,
            "skipped": 1,
            "replayed": 1,
            "amounts": {
                "EUR": {
                    "paid": "5.00",
                    "skipped": "4.00",
                    "replayed": "5.00",
                    "failed": "15.00",
                    "refused": "7.00",
                },
                "USD": {"paid": "1.50"},
            },
        }
        assert list(summary.document()["amounts"]) == ["EUR", "USD"]
        assert (summary.paid_now, summary.paid_before) == (3, 2)
        assert summary.replayed_transaction == "t-5.00"
        assert [row["cells"] for row in summary.unpaid] == [["6.00"], ["7.00"], ["two"], ["8.00"], ["9.00"]]
        assert summary.unpaid[0]["to"] == BOB

    def test_sums_are_decimal_numbers(self) -> None:
        summary = Summary()
        for _ in range(3):
            self.add(summary, "paid", "0.1")
        self.add(summary, "paid", "99999999999999999.00")
        assert summary.document()["amounts"] == {"EUR": {"paid": "99999999999999999.30"}}
