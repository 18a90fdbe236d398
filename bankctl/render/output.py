"""Results on stdout: one place that prints table, JSON, JSON lines or CSV.

A terminal gets a rich table; a pipe gets aligned plain text, never wrapped, never coloured. CSV and raw
strings are UTF-8 in a pipe or a file, whatever the locale; JSON escapes what the encoding of stdout has not.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from bankctl import invocation, streams
from bankctl.errors import CliError
from bankctl.invocation import OutputFormat
from bankctl.render.column import Column
from bankctl.render.csv import csv_line
from bankctl.render.text import clean, displayable, displayable_json, dump_json


def emit(
    data: Any,
    *,
    columns: Sequence[Column | str] | None = None,
    title: str | None = None,
    shown_once: bool = False,
) -> None:
    """Print the result of a command to stdout in the format the person asked for.

    A result of something that was done is shown even if that fails: whole if --query does not fit it, on
    stderr if stdout cannot take it.

    Args:
        data: a mapping (one thing), or an iterable of mappings (a list of things).
        columns: what a table and CSV show; JSON always has everything. A string names a path.
        title: stands above the table on a terminal.
        shown_once: the result holds a secret that cannot be asked for again.

    Raises:
        CliError: nothing was done, and `--query` does not fit the result.
    """
    if not isinstance(data, Mapping | str | list | None):
        data = list(data)
    run = invocation.current()
    try:
        show, text = _rendered(data, columns, title)
    except Exception as error:
        if not run.acted:
            raise
        run.not_printed = error.message if isinstance(error, CliError) else f"{type(error).__name__}: {error}"
        show, text = _show_json, dump_json(data, indent=2)
    show(text)
    if streams.lost_output() is not None and run.acted:
        _show_elsewhere(text, secret=shown_once)


def emit_text(text: str) -> None:
    """Print text that is itself the result, such as a shell script, as it is."""
    _show(text.removesuffix("\n"))


def emit_line(text: str) -> None:
    """Print one line of an endless result, at once.

    Raises:
        ReaderGoneError: nobody can read it.
    """
    _show(displayable(text, sys.stdout))
    _require_reader()


def emit_event(event: Mapping[str, Any]) -> None:
    """Print one thing of an endless list as one line of JSON, at once; `--query` selects from each.

    Raises:
        ReaderGoneError: nobody can read it.
    """
    run = invocation.current()
    found = _selected(event)
    if run.raw:
        _show_exactly(_raw(found))
    else:
        _show_json(dump_json(found))
    _require_reader()


def _require_reader() -> None:
    if streams.lost_output() is not None:
        raise streams.ReaderGoneError


def _rendered(
    data: Any, columns: Sequence[Column | str] | None, title: str | None
) -> tuple[Callable[[str], None], str]:
    """The text of a result, and how it is written."""
    run = invocation.current()
    if run.raw:
        found = _selected(data)
        return (_show, "") if found == [] else (_show_exactly, _raw(found))
    if run.query is not None or run.output in {OutputFormat.JSON, OutputFormat.JSONL}:
        return _show_json, _as_json(_selected(data), run.output)
    if run.output is OutputFormat.CSV:
        return _show_exactly, _as_csv(data, columns)
    if isinstance(data, list):
        return _show, _as_table(data, _resolve(columns, data), title)
    if isinstance(data, Mapping):
        rows = [
            {"field": column.heading, "value": column.value(data)} for column in _resolve(columns, [data])
        ]
        return _show, _as_table(rows, [Column("field", "", style="dim"), Column("value", "")], title)
    return _show, displayable(clean(data), sys.stdout) if data is not None else ""


def _show(text: str) -> None:
    if text:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def _show_json(text: str) -> None:
    _show(displayable_json(text, sys.stdout))


def _show_exactly(text: str) -> None:
    if isinstance(sys.stdout, streams.GuardedOutput) and not invocation.is_terminal(sys.stdout):
        sys.stdout.write_utf8(text + "\n")
    else:
        sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _show_elsewhere(text: str, *, secret: bool) -> None:
    """Show on stderr what stdout cannot take; a secret rather on the terminal, which keeps no log."""
    shown = displayable_json(text, sys.stderr) + "\n"
    if secret and not invocation.is_terminal(sys.stderr):
        try:
            with open("/dev/tty", "w", encoding="utf-8") as terminal:  # noqa: PTH123  # a device
                terminal.write(shown)
        except OSError:
            pass
        else:
            return
    sys.stderr.write(shown)
    sys.stderr.flush()


def _selected(data: Any) -> Any:
    expression = invocation.current().query
    if expression is None:
        return data
    from bankctl.render.query import select  # noqa: PLC0415  # only --query needs it

    return select(data, expression)


def _raw(data: Any) -> str:
    """Strings as they are, one a line; everything else as compact JSON."""
    items = data if isinstance(data, list) else [data]
    return "\n".join(clean(item) if isinstance(item, str) else dump_json(item) for item in items)


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


def _as_csv(data: Any, columns: Sequence[Column | str] | None) -> str:
    rows = data if isinstance(data, list) else [data]
    resolved = _resolve(columns, rows)
    lines = [csv_line([column.path for column in resolved])]
    lines += [csv_line([column.value(row) for column in resolved]) for row in rows]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = clean(dump_json(value) if isinstance(value, Mapping | list) else value)
    return displayable(text, sys.stdout)


def _as_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], title: str | None) -> str:
    cells = [[_cell(column.value(row)) for column in columns] for row in rows]
    if invocation.is_terminal(sys.stdout):
        from bankctl.render.table import table_text  # noqa: PLC0415  # rich is only for terminals

        return table_text(cells, columns, title)
    return _aligned(cells, columns)


def _aligned(cells: Iterable[Sequence[str]], columns: Sequence[Column]) -> str:
    headed = any(column.heading for column in columns)
    lines = [*([[column.heading.upper() for column in columns]] if headed else []), *cells]
    widths = [max((len(line[index]) for line in lines), default=0) for index in range(len(columns))]
    return "\n".join(
        "  ".join(
            text.rjust(width) if column.justify == "right" else text.ljust(width)
            for text, width, column in zip(line, widths, columns, strict=True)
        ).rstrip()
        for line in lines
    )
