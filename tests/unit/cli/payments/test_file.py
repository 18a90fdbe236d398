"""Files of payments as programs write them: separators, encodings, quotes; what cannot be read is named."""

import io
import os
import threading
from pathlib import Path

import pytest

from bankctl.errors import CliError
from bankctl.payments import file as payment_file
from bankctl.payments.file import PaymentFile, is_stream
from bankctl.payments.orders import Order
from tests.unit.cli.played_bank import ANN, BOB

HEADER = "from,to,amount,currency,reference\n"
ROW = f"{ANN},{BOB},1.50,EUR,rent\n"
PLAIN = (HEADER + ROW).encode()
REQUEST = {
    "from_account": ANN,
    "to_account": BOB,
    "amount": "1.50",
    "currency": "EUR",
    "reference": "rent",
}


def separated(separator: str, amount: str = "1.50") -> str:
    return (HEADER + ROW).replace(",", separator).replace("1.50", amount)


def read(path: Path, content: bytes | str, key_column: str | None = None) -> list[Order]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with PaymentFile(path, key_column=key_column) as file:
        return list(file.orders())


def refusal(path: Path, content: bytes | str, key_column: str | None = None) -> CliError:
    with pytest.raises(CliError) as refused:
        read(path, content, key_column)
    assert refused.value.exit_status == 2
    return refused.value


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (PLAIN, 2),
        (b"\xef\xbb\xbf" + PLAIN, 2),
        (b"\xef\xbb\xbf\xef\xbb\xbf" + PLAIN, 2),
        (PLAIN.decode().encode("utf-16"), 2),
        (b"\xfe\xff" + PLAIN.decode().encode("utf-16-be"), 2),
        (b"\xff\xfe\xff\xfe" + PLAIN.decode().encode("utf-16-le"), 2),
        (PLAIN.decode().encode("utf-32"), 2),
        (PLAIN.replace(b"\n", b"\r\n"), 2),
        (PLAIN.replace(b"\n", b"\r"), 2),
        (PLAIN.rstrip(b"\n"), 2),
        (b"\n\r\n  \n" + PLAIN, 5),
        (b",,,,\n" + PLAIN, 3),
        (separated(";"), 2),
        (separated("\t"), 2),
        (separated("|"), 2),
        ("sep=;\r\n" + separated(";"), 3),
        ("\ufeffSEP=\t\n\n" + separated("\t"), 4),
        ("sep=^\n" + separated("^"), 3),
        ('"sep=^"\n' + separated("^"), 3),
        ("\n\nsep=^\n" + separated("^"), 5),
        ("\ufeff\ufeffsep=^\n" + separated("^"), 3),
        (("sep=^\n" + separated("^")).encode("utf-16"), 3),
        ("sep=,\n" + separated(","), 3),
        (separated(";", amount="1,50"), 2),
        (separated("\t", amount="1,50"), 2),
        (f"from,to,amount,currency,reference,,\n{ANN},{BOB},1.50,EUR,rent,,seen\n", 2),
        (f'"From", TO,Amount,"currency",reference\n{ANN} ,{BOB},1.50,eur, rent\n', 2),
    ],
)
def test_files_as_programs_write_them_are_read(tmp_path: Path, content: bytes | str, line: int) -> None:
    (order,) = read(tmp_path / "orders.csv", content)
    assert (order.line, order.request, order.faults) == (line, REQUEST, [])


@pytest.mark.parametrize(
    ("content", "code", "named"),
    [
        ("sep=;;\n" + HEADER, "unknown_separator", "';;'"),
        ("sep=x\n" + HEADER, "unknown_separator", "'x'"),
        ('sep="\n' + HEADER, "unknown_separator", "'\"'"),
        ('"sep=;\n' + HEADER, "missing_columns", "from"),
        (
            "from;to\n",
            "missing_columns",
            "whose cells are separated by semicolons, has no column amount, cur",
        ),
        ("sep=^\nfrom^to\n", "missing_columns", "whose cells are separated by '^', has no column amount"),
        ("sep=;\nfrom\n", "missing_columns", "orders.csv has no column to, amount, currency"),
        ("from,to\n", "missing_columns", "orders.csv has no column amount, currency"),
        (PLAIN.decode().encode("utf-16-le"), "file_not_text", "UTF-16"),
        (PLAIN.decode().encode("utf-16")[:-1], "file_not_text", "UTF-16"),
        (b"PK\x03\x04" + PLAIN, "file_not_csv", "spreadsheet"),
        (b"\x1f\x8b" + PLAIN, "file_not_csv", "compressed"),
        ("sep=ab\n" + HEADER, "unknown_separator", "'ab'"),
        ("sep=\n" + HEADER, "unknown_separator", "''"),
        ("sep=;\n" + HEADER, "missing_columns", "from"),
        ("from;to;sum;currency\n", "missing_columns", "semicolons, has no column amount"),
        (HEADER.replace(",", ":"), "missing_columns", "from"),
        ("", "missing_columns", "from"),
        ("from,to,amount,currency,to\n", "duplicate_columns", "to"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_name(
    tmp_path: Path, content: bytes | str, code: str, named: str
) -> None:
    error = refusal(tmp_path / "orders.csv", content)
    assert error.code == code
    assert named in error.message
    assert (error.hint or "").startswith(HINTS[code])


HINTS = {
    "file_not_text": "export it as CSV in UTF-8",
    "file_not_csv": "export it as CSV in UTF-8",
    "unknown_separator": "use a comma, a semicolon or a tab",
    "missing_columns": "its first line must name the columns from, to, amount, currency",
    "duplicate_columns": "",
}


@pytest.mark.parametrize(
    ("amount", "separator", "fault"),
    [
        ("1,234", ";", "write a point"),
        ("1.234,50", ";", "write a point"),
        ("1,234.50", ";", "write a point"),
        ('"1,50"', ",", "write a point"),
        ("1,5,", ";", "write a point"),
        ("01,50", ";", "write a point"),
        ("1 234", ";", "must be a decimal"),
    ],
)
def test_an_amount_that_may_mean_two_things_is_refused(
    tmp_path: Path, amount: str, separator: str, fault: str
) -> None:
    (order,) = read(tmp_path / "orders.csv", separated(separator, amount=amount))
    assert fault in "; ".join(order.faults)


@pytest.mark.parametrize(
    ("broken", "lines"),
    [
        (f'{ANN},{BOB},1.00,EUR,"quoted "badly\n', "lines 3 to 5"),
        (f'{ANN},{BOB},1.00,EUR,"not closed\n', "lines 3 to 5"),
        (f'{ANN},{BOB},1.00,EUR,"over\n{ANN},{BOB},9.00,EUR,two "lines"\n', "lines 3 to 6"),
    ],
)
@pytest.mark.parametrize("long", [False, True])
def test_nothing_is_read_behind_a_row_that_does_not_end(
    tmp_path: Path, broken: str, lines: str, monkeypatch: pytest.MonkeyPatch, *, long: bool
) -> None:
    if long:
        monkeypatch.setattr(payment_file, "_BYTES_KEPT", 16)
    path = tmp_path / "orders.csv"
    path.write_text(HEADER + ROW + broken + ROW + ROW)
    with pytest.raises(CliError) as refused:
        PaymentFile(path)
    error = refused.value
    assert error.code == "file_not_csv"
    assert error.hint == "a cell that contains a quote must be quoted, with that quote doubled"
    assert f"{lines} were not read" in error.message


def test_lines_inside_a_cell_are_no_rows(tmp_path: Path) -> None:
    note = f'"seen\n{ANN},{BOB},9.00,EUR,nobody ordered this\n"'
    first, second = read(tmp_path / "o.csv", f"{HEADER.strip()},note\n{ROW.strip()},{note}\n{ROW.strip()},\n")
    assert (first.line, second.line) == (2, 5)
    assert (first.request, second.request) == (REQUEST, REQUEST)


def test_long_cells_are_legal(tmp_path: Path) -> None:
    note = "x" * 500_000
    (order,) = read(tmp_path / "o.csv", f"{HEADER.strip()},note\n{ROW.strip()},{note}\n")
    assert (order.faults, order.extra) == ([], {"note": note})


@pytest.mark.parametrize("short", [False, True])
def test_values_that_stand_twice_in_the_key_column_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, short: bool
) -> None:
    if not short:
        monkeypatch.setattr(payment_file, "_BYTES_KEPT", 16)
    path = tmp_path / "orders.csv"
    rows = "".join(f"{number},{ROW}" for number in (1, 2, 1))
    error = refusal(path, f"order_id,{HEADER}{rows}", "order_id")
    assert error.code == "duplicate_row_key"
    assert "'1' twice, in lines 2 and 4" in error.message
    assert (error.hint or "").startswith("each row needs its own value")
    assert refusal(path, f"order_id,{HEADER}{rows}", "nothing").code == "missing_columns"
    assert refusal(path, f"order_id,,{HEADER}", "").code == "missing_columns"
    one, empty = read(path, f"Order_ID,{HEADER}1,{ROW} ,{ROW}", "order_id ")
    assert (one.key, one.faults) == ("1", [])
    assert "order_id: the cell is empty" in empty.faults[0]


@pytest.mark.parametrize("bytes_kept", [16, 1 << 20])
def test_what_can_be_read_once_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bytes_kept: int
) -> None:
    monkeypatch.setattr(payment_file, "_BYTES_KEPT", bytes_kept)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(PLAIN,))
    writer.start()
    with PaymentFile(pipe) as file:
        writer.join()
        assert file.is_stream
        for _ in range(2):
            assert [order.request for order in file.orders()] == [REQUEST]


def test_the_reason_of_an_earlier_run_is_no_part_of_a_row(tmp_path: Path) -> None:
    content = f"reason_not_paid,note,{HEADER}the account is empty,n,{ROW}"
    path = tmp_path / "orders.failed.csv"
    (order,) = read(path, content)
    assert (order.request, order.extra) == (REQUEST, {"note": "n"})
    assert order.cells == ["n", *ROW.strip().split(",")]


@pytest.mark.parametrize(
    ("before", "header", "told"),
    [
        (
            "",
            HEADER,
            "from line 3 on (unexpected end of data): where its rows end cannot be told, so line 3 was",
        ),
        (
            "\n",
            HEADER,
            "from line 4 on (unexpected end of data): where its rows end cannot be told, so line 4 was",
        ),
    ],
)
def test_a_last_row_that_does_not_end_is_named_alone(
    tmp_path: Path, before: str, header: str, told: str
) -> None:
    error = refusal(tmp_path / "orders.csv", f'{before}{header}{ROW}{ANN},{BOB},1.00,EUR,"rent')
    assert told in error.message


def test_a_header_that_does_not_end_is_named_as_the_first_line(tmp_path: Path) -> None:
    error = refusal(tmp_path / "orders.csv", f'\n{HEADER.strip()},"no"te\n{ROW}')
    assert "no CSV file from line 2 on" in error.message
    assert "lines 2 to 3 were not read" in error.message


@pytest.mark.parametrize("written", [PLAIN, ("sep=^\n" + separated("^")).encode()])
def test_bytes_that_are_no_text_break_only_their_row(tmp_path: Path, written: bytes) -> None:
    broken = written.splitlines(keepends=True)[-1].replace(b"rent", b"caf\xe9")
    sound, odd = read(tmp_path / "orders.csv", written + broken)
    assert (sound.request, sound.faults) == (REQUEST, [])
    assert [fault.partition(":")[0] for fault in odd.faults] == ["reference"]


def test_a_row_may_begin_as_a_line_that_names_the_separator_does(tmp_path: Path) -> None:
    (order,) = read(tmp_path / "orders.csv", f"order_id,{HEADER}sep=;,{ROW}", "order_id")
    assert (order.key, order.request) == ("sep=;", REQUEST)


def test_a_row_with_too_few_or_too_many_cells_has_what_it_has(tmp_path: Path) -> None:
    header = f"order_id,{HEADER.strip()},note\n"
    short, long = read(tmp_path / "orders.csv", f"{header}1,{ANN},{BOB},1.50\n2,{ROW.strip()},seen,more\n")
    assert short.request == {"from_account": ANN, "to_account": BOB, "amount": "1.50", "currency": ""}
    assert short.faults[0] == "the row has 4 cells, the header 7"
    assert [fault.partition(":")[0] for fault in short.faults[1:]] == ["currency"]
    assert (short.extra, short.cells) == ({"order_id": "1"}, ["1", ANN, BOB, "1.50"])
    assert (long.request, long.faults) == (REQUEST, ["the row has 8 cells, the header 7"])
    assert long.extra == {"order_id": "2", "note": "seen"}
    (nearly,) = read(tmp_path / "orders.csv", f"{header}3,{ROW}")
    assert (nearly.request, nearly.extra) == (REQUEST, {"order_id": "3"})


def test_a_file_needs_no_column_of_references(tmp_path: Path) -> None:
    (order,) = read(tmp_path / "orders.csv", f"from,to,amount,currency\n{ANN},{BOB},1.50,EUR\n")
    assert "reference" not in order.request
    assert order.faults == []


@pytest.mark.parametrize("rows", [1, 2, 3, 5])
def test_rows_beyond_those_that_are_kept_come_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(payment_file, "_ROWS_KEPT", 2)
    path = tmp_path / "orders.csv"
    path.write_text(HEADER + ROW * rows)
    with PaymentFile(path) as file:
        for _ in range(2):
            assert [order.line for order in file.orders()] == list(range(2, rows + 2))


def test_a_long_file_that_is_emptied_meanwhile_has_no_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payment_file, "_BYTES_KEPT", 16)
    path = tmp_path / "orders.csv"
    path.write_text(HEADER + ROW)
    with PaymentFile(path) as file:
        path.write_text("")
        assert list(file.orders()) == []


class TestStandardInput:
    def test_it_is_read_and_left_open(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stdin = io.TextIOWrapper(io.BytesIO(PLAIN))
        monkeypatch.setattr(payment_file.sys, "stdin", stdin)
        with PaymentFile(Path("-")) as file:
            assert (file.is_stream, file.name) == (True, "standard input")
            assert [order.request for order in file.orders()] == [REQUEST]
        assert not stdin.closed

    def test_one_that_is_closed_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(payment_file.sys, "stdin", None)
        with pytest.raises(CliError) as refused:
            PaymentFile(Path("-"))
        assert (refused.value.exit_status, refused.value.code) == (2, "file_unreadable")

    def test_what_has_no_end_of_its_own_is_a_stream(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "file").touch()
        streams = {name: is_stream(tmp_path / name) for name in ("pipe", "file", "missing", "")}
        assert streams == {"pipe": True, "file": False, "missing": False, "": False}
        assert is_stream(Path("-"))
