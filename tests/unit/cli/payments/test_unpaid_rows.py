"""Where the unpaid rows of a file go, and what stands there."""

import os
from pathlib import Path
from typing import Any

import pytest

from bankctl.errors import CliError, ExitStatus
from bankctl.payments import unpaid_rows
from bankctl.payments.file import PaymentFile
from bankctl.payments.unpaid_rows import UnpaidRows, plain_name
from tests.unit.cli.played_bank import ANN, BOB

HEADER = "from,to,amount,currency"
ROW = f"{ANN},{BOB},1.00,EUR"


def written(
    path: Path, *, reasons: bool = False, separator: str = ",", encoding: str = "utf-8"
) -> PaymentFile:
    header, row = (f"reason_not_paid,{HEADER}", f"why,{ROW}") if reasons else (HEADER, ROW)
    path.write_bytes(f"{header}\n{row}\n".replace(",", separator).encode(encoding))
    return PaymentFile(path)


def unpaid(detail: str | None, *cells: str, code: str | None = None) -> dict[str, Any]:
    return {"problem": {"detail": detail, "code": code}, "cells": list(cells)}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state" / "march.jsonl"


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("orders.csv", "orders"),
        ("orders.CSV", "orders"),
        ("orders.tsv", "orders"),
        ("orders.txt", "orders"),
        ("orders.failed.csv", "orders"),
        ("orders.Failed.txt", "orders"),
        ("orders.2026.csv", "orders.2026"),
        ("orders.failed", "orders.failed"),
        ("orders.csv.gz", "orders.csv.gz"),
        ("orders", "orders"),
        (".csv", ".csv"),
    ],
)
def test_what_is_paid_later_belongs_to_the_run_of_its_file(name: str, plain: str) -> None:
    assert plain_name(Path("folder") / name) == plain


class TestTheirPlace:
    @pytest.mark.parametrize(
        ("name", "reasons", "place"),
        [
            ("orders.csv", False, "orders.failed.csv"),
            ("orders.txt", False, "orders.failed.csv"),
            ("orders", False, "orders.failed.csv"),
            # It is mended and paid again: what is still unpaid takes its place.
            ("orders.failed.csv", True, "orders.failed.csv"),
            ("ORDERS.FAILED.CSV", True, "ORDERS.FAILED.CSV"),
            ("mended.csv", True, "mended.failed.csv"),
            # Somebody's own file of that name is no file of unpaid rows.
            ("orders.failed.csv", False, "orders.failed.failed.csv"),
        ],
    )
    def test_is_beside_the_file(
        self, tmp_path: Path, results: Path, name: str, place: str, *, reasons: bool
    ) -> None:
        file = written(tmp_path / name, reasons=reasons)
        assert UnpaidRows(file, results).path == tmp_path / place

    def test_is_beside_the_results_for_what_has_no_folder(self, tmp_path: Path, results: Path) -> None:
        file = written(tmp_path / "orders.csv")
        file.is_stream = True
        assert UnpaidRows(file, results).path == results.with_name("march.failed.csv")

    def test_is_beside_the_results_where_nothing_can_be_written(
        self, tmp_path: Path, results: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Root may write everywhere, so the system's answer is played."""
        asked: list[tuple[Path, int]] = []

        def access(path: Path, mode: int) -> bool:
            asked.append((path, mode))
            return False

        monkeypatch.setattr(unpaid_rows.os, "access", access)
        file = written(tmp_path / "orders.csv")
        assert UnpaidRows(file, results).path == results.with_name("march.failed.csv")
        assert asked == [(tmp_path, os.W_OK)]

    @pytest.mark.parametrize("content", ["mine\n", "a,b\n" * 100 + "reason_not_paid"])
    def test_another_file_there_is_left_alone(self, tmp_path: Path, results: Path, content: str) -> None:
        other = tmp_path / "orders.failed.csv"
        other.write_text(content)
        with pytest.raises(CliError) as refused:
            UnpaidRows(written(tmp_path / "orders.csv"), results)
        error = refused.value
        assert (error.exit_status, error.code) == (ExitStatus.USAGE, "failed_rows_file_in_the_way")
        assert error.message == (
            f"{other} is not a file of unpaid rows and would be overwritten; nothing was sent"
        )
        assert error.hint == "move it away"

    def test_a_folder_there_is_left_alone(self, tmp_path: Path, results: Path) -> None:
        (tmp_path / "orders.failed.csv").mkdir()
        with pytest.raises(CliError) as refused:
            UnpaidRows(written(tmp_path / "orders.csv"), results)
        assert refused.value.code == "failed_rows_file_in_the_way"

    @pytest.mark.parametrize("content", [b"", b"reason_not_paid;a\n", "reason_not_paid,a\n".encode("utf-16")])
    def test_an_earlier_one_may_be_replaced(self, tmp_path: Path, results: Path, content: bytes) -> None:
        (tmp_path / "orders.failed.csv").write_bytes(content)
        UnpaidRows(written(tmp_path / "orders.csv"), results)


class TestWriting:
    def test_rows_stand_with_their_reason_as_they_came(self, tmp_path: Path, results: Path) -> None:
        file = written(tmp_path / "orders.csv", separator=";")
        rows = [
            unpaid("not enough\n  money", ANN, BOB, "1,00", 'a "b"; c'),
            unpaid(None, "x", code="frozen"),
            {"problem": None, "cells": []},
            {"problem": {}, "cells": ["y"]},
        ]
        place = UnpaidRows(file, results)
        place.write(rows)
        assert place.path.read_text() == (
            "reason_not_paid;from;to;amount;currency\n"
            f'not enough money;{ANN};{BOB};1,00;"a ""b""; c"\n'
            "frozen;x\n"
            "unknown\n"
            "unknown;y\n"
        )
        assert place.path.stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_the_encoding_is_that_of_the_file(self, tmp_path: Path, results: Path, encoding: str) -> None:
        place = UnpaidRows(written(tmp_path / "orders.csv", encoding=encoding), results)
        place.write([unpaid("why", "für")])
        content = place.path.read_bytes()
        assert content == f"reason_not_paid,{HEADER}\nwhy,für\n".encode(encoding)

    def test_what_is_no_text_goes_back_as_it_came(self, tmp_path: Path, results: Path) -> None:
        place = UnpaidRows(written(tmp_path / "orders.csv"), results)
        place.write([unpaid("why", "caf\udce9")])
        assert place.path.read_bytes().endswith(b"caf\xe9\n")

    def test_the_reasons_of_an_earlier_run_are_replaced(self, tmp_path: Path, results: Path) -> None:
        file = written(tmp_path / "orders.failed.csv", reasons=True)
        UnpaidRows(file, results).write([unpaid("still", *ROW.split(","))])
        assert file.path.read_text() == f"reason_not_paid,{HEADER}\nstill,{ROW}\n"

    def test_without_unpaid_rows_the_file_of_an_earlier_run_goes(self, tmp_path: Path, results: Path) -> None:
        place = UnpaidRows(written(tmp_path / "orders.csv"), results)
        place.write([])
        assert not place.path.exists()
        place.write([unpaid("why", "x")])
        place.write([])
        assert not place.path.exists()
        place.path.mkdir()
        place.write([])
        assert place.path.is_dir(), "what cannot be removed stays"

    def test_the_file_that_was_paid_itself_stays(self, tmp_path: Path, results: Path) -> None:
        file = written(tmp_path / "orders.failed.csv", reasons=True)
        UnpaidRows(file, results).write([])
        assert file.path.exists()
