"""The one table: as text for a terminal, as markdown for docs/measurements/benchmark.md."""

from collections.abc import Sequence

from tests.bench.figures import Figure

BEGIN_MARKER = "<!-- bench:begin (written by make bench) -->"
END_MARKER = "<!-- bench:end -->"
_HEADER = ("row", "figure", "to reach", "measured", "rounds", "verdict", "made of")


def cells_of(figure: Figure) -> tuple[str, ...]:
    value = figure.value
    return (
        figure.row,
        figure.title,
        "" if figure.bound is None else f"{figure.bound} {figure.unit}".strip(),
        f"{number(value.median)} {figure.unit}".strip(),
        f"{number(value.low)} … {number(value.high)}",
        figure.verdict,
        figure.made_of,
    )


def number(value: float) -> str:
    """Three digits that matter, thousands set apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def text_table(figures: Sequence[Figure]) -> str:
    """Return columns as wide as their widest cell."""
    rows = [_HEADER, *(cells_of(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


def markdown_table(figures: Sequence[Figure]) -> str:
    rows = [_HEADER, ("---",) * len(_HEADER), *(cells_of(figure) for figure in figures)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def put_between_markers(document: str, content: str) -> str:
    """Replace what stands between the two markers.

    Raises:
        ValueError: the document does not have both, in this order.
    """
    before, begin, rest = document.partition(BEGIN_MARKER)
    _, end, after = rest.partition(END_MARKER)
    if not begin or not end:
        raise ValueError(f"the document lacks {BEGIN_MARKER} or {END_MARKER} after it")
    return f"{before}{begin}\n\n{content}\n\n{end}{after}"
