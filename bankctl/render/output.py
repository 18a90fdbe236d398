"""Results on stdout: one place that prints table, JSON, JSON lines or CSV.

A terminal gets a rich table; a pipe gets aligned plain text, never wrapped, never coloured.
"""

import csv
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bankctl import invocation
from bankctl.errors import usage_error
from bankctl.invocation import OutputFormat
from bankctl.render.column import Column
from bankctl.render.text import clean, dump_json


def emit(data: Any, *, columns: Sequence[Column | str] | None = None, title: str | None = None) -> None:
    """Print the result of a command to stdout in the format the person asked for.

    Args:
        data: a mapping (one thing), or an iterable of mappings (a list of things).
        columns: what a table and CSV show; JSON always has everything. A string names a path.
        title: stands above the table on a terminal.

    Raises:
        CliError: `--query` is no JMESPath expression.
    """
    run = invocation.current()
    if not isinstance(data, Mapping | str | list | None):
        data = list(data)
    if run.query is not None:
        _write(_as_json(_queried(data, run.query), run.output))
    elif run.output in {OutputFormat.JSON, OutputFormat.JSONL}:
        _write(_as_json(data, run.output))
    elif run.output is OutputFormat.CSV:
        _write_csv(data, columns)
    elif isinstance(data, list):
        _print_rows(data, _resolve(columns, data), title)
    elif isinstance(data, Mapping):
        _print_fields(data, columns, title)
    elif data is not None:
        _write(clean(data))


def emit_text(text: str) -> None:
    """Print text that is itself the result, such as a shell script, as it is."""
    _write(text.removesuffix("\n"))


def emit_event(event: Mapping[str, Any]) -> None:
    """Print one thing of an endless list as one line of JSON, at once; `--query` selects from each."""
    query = invocation.current().query
    _write(dump_json(_queried(event, query) if query is not None else event))


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _queried(data: Any, expression: str) -> Any:
    # Only --query needs it.
    import jmespath  # noqa: PLC0415
    import jmespath.exceptions  # noqa: PLC0415

    try:
        return jmespath.search(expression, data)
    except jmespath.exceptions.JMESPathError as error:
        raise usage_error(
            f"--query {expression!r} does not work: {error}", hint="see https://jmespath.org"
        ) from error


def _as_json(data: Any, output: OutputFormat) -> str:
    if output is OutputFormat.JSONL:
        lines = data if isinstance(data, list) else [data]
        return "\n".join(dump_json(line) for line in lines)
    return dump_json(data, indent=2)


def _heading(path: str) -> str:
    return path.replace("_", " ").replace(".", " ").capitalize()


def _resolve(columns: Sequence[Column | str] | None, rows: Sequence[Any]) -> list[Column]:
    if columns is None:
        first = rows[0] if rows else {}
        columns = list(_flatten(first)) if isinstance(first, Mapping) else ["value"]
    return [item if isinstance(item, Column) else Column(item, _heading(item)) for item in columns]


def _flatten(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return clean(dump_json(value) if isinstance(value, Mapping | list) else value)


def _write_csv(data: Any, columns: Sequence[Column | str] | None) -> None:
    rows = data if isinstance(data, list) else [data]
    resolved = _resolve(columns, rows)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([column.path for column in resolved])
    for row in rows:
        values = (column.value(row) for column in resolved)
        writer.writerow(["" if value is None else _cell(value) for value in values])
    sys.stdout.flush()


def _print_fields(data: Mapping[str, Any], columns: Sequence[Column | str] | None, title: str | None) -> None:
    rows = [{"field": column.heading, "value": column.value(data)} for column in _resolve(columns, [data])]
    _print_rows(rows, [Column("field", "", style="dim"), Column("value", "")], title)


def _print_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], title: str | None) -> None:
    cells = [[_cell(column.value(row)) for column in columns] for row in rows]
    if invocation.is_terminal(sys.stdout):
        from bankctl.render.table import print_table  # noqa: PLC0415  # rich is only for terminals

        print_table(cells, columns, title)
    else:
        _write_aligned(cells, columns)


def _write_aligned(cells: Iterable[Sequence[str]], columns: Sequence[Column]) -> None:
    headed = any(column.heading for column in columns)
    lines = [*([[column.heading.upper() for column in columns]] if headed else []), *cells]
    widths = [max((len(line[index]) for line in lines), default=0) for index in range(len(columns))]
    for line in lines:
        padded = (
            text.rjust(width) if column.justify == "right" else text.ljust(width)
            for text, width, column in zip(line, widths, columns, strict=True)
        )
        sys.stdout.write("  ".join(padded).rstrip() + "\n")
    sys.stdout.flush()
