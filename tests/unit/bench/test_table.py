import json
from dataclasses import replace

import pytest

from tests.bench.figures import TIMES, Figure, at_least, at_most
from tests.bench.samples import Spread
from tests.bench.table import (
    BEGIN_MARKER,
    END_MARKER,
    markdown_table,
    number,
    put_between_markers,
    text_table,
)

FIGURE = Figure(
    row="random",
    title="engine / (i)",
    value=Spread(12.34, 11.0, 13.0),
    unit=TIMES,
    bound=at_least(10),
    made_of="5,000/s against 405/s",
)


@pytest.mark.parametrize(
    ("bound", "median", "verdict"),
    [
        (at_least(10), 10.0, "reached"),
        (at_least(10), 9.99, "SHORT"),
        (at_most(1.3), 1.3, "reached"),
        (at_most(1.3), 1.31, "SHORT"),
        (None, 0.0, "informs"),
    ],
)
def test_the_median_is_held_against_the_bound(bound: object, median: float, verdict: str) -> None:
    figure = replace(FIGURE, bound=bound, value=Spread(median, 0.0, 99.0))
    assert figure.verdict == verdict


@pytest.mark.parametrize(
    ("value", "text"), [(0.1234, "0.12"), (9.994, "9.99"), (12.34, "12.3"), (17105.4, "17,105"), (0, "0.00")]
)
def test_numbers_show_the_digits_that_matter(value: float, text: str) -> None:
    assert number(value) == text


def test_the_table_shows_figure_bound_and_verdict() -> None:
    header, _, line = text_table([FIGURE]).splitlines()
    assert header.split()[:2] == ["row", "figure"]
    for part in ("engine / (i)", "≥ 10 x", "12.3 x", "11.0 … 13.0", "reached", "5,000/s against 405/s"):
        assert part in line
        assert line.index(part) > 0


def test_markdown_cells_cannot_break_the_table() -> None:
    *_, line = markdown_table([replace(FIGURE, title="a | b")]).splitlines()
    assert "a \\| b" in line
    assert line.replace("\\|", "").count("|") == 8


def test_a_figure_is_json_with_its_verdict() -> None:
    told = json.loads(json.dumps(FIGURE.document()))
    assert (told["row"], told["value"]["median"], told["verdict"]) == ("random", 12.34, "reached")


def test_only_what_stands_between_the_markers_is_replaced() -> None:
    document = f"before\n{BEGIN_MARKER}\nold\n{END_MARKER}\nafter\n"
    once = put_between_markers(document, "new")
    assert once == f"before\n{BEGIN_MARKER}\n\nnew\n\n{END_MARKER}\nafter\n"
    assert put_between_markers(once, "new") == once


@pytest.mark.parametrize("document", ["", BEGIN_MARKER, END_MARKER, f"{END_MARKER}\n{BEGIN_MARKER}"])
def test_a_document_without_both_markers_is_left_alone(document: str) -> None:
    with pytest.raises(ValueError, match="lacks"):
        put_between_markers(document, "new")
