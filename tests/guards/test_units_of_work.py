"""A block that is retried ends by falling through or by raising: nothing else is committed for sure.

`async for attempt in work.attempts(): async with attempt as tx:` commits when the block ends. If the commit
meets a passing fault, the loop runs the block again. A `return`, `break` or `continue` would leave the loop
at that moment, and what the caller takes for done would not be.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
LOOPS = (ast.For, ast.AsyncFor, ast.While)


def is_attempt_loop(node: ast.AST) -> bool:
    if not isinstance(node, ast.AsyncFor) or not isinstance(node.iter, ast.Call):
        return False
    called = node.iter.func
    return (isinstance(called, ast.Attribute) and called.attr == "attempts") or (
        isinstance(called, ast.Name) and called.id == "Attempts"
    )


def ways_out(node: ast.AST, *, in_loop: bool = False) -> Iterator[int]:
    """The lines of statements that leave the retried block other than by its end or a fault."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, FUNCTIONS):
            continue
        leaves_the_loop = isinstance(child, ast.Break | ast.Continue) and not in_loop
        if leaves_the_loop or isinstance(child, ast.Return | ast.Yield | ast.YieldFrom):
            yield child.lineno
        yield from ways_out(child, in_loop=in_loop or isinstance(child, LOOPS))


def faults(source: str) -> tuple[int, list[int]]:
    """How many attempt loops there are, and the lines at which one is not as it must be."""
    loops = [node for node in ast.walk(ast.parse(source)) if is_attempt_loop(node)]
    found: list[int] = []
    for loop in loops:
        assert isinstance(loop, ast.AsyncFor)
        [*body] = loop.body
        shaped = len(body) == 1 and isinstance(body[0], ast.AsyncWith) and not loop.orelse
        found += list(ways_out(loop)) if shaped else [loop.lineno]
    return len(loops), found


def test_no_retried_block_is_left_by_return_break_or_continue() -> None:
    seen = 0
    wrong: list[str] = []
    for path in sorted((ROOT / "daemons").rglob("*.py")):
        loops, lines = faults(path.read_text(encoding="utf-8"))
        seen += loops
        wrong += [f"{path.relative_to(ROOT)}:{line}" for line in lines]
    assert seen > 10
    assert wrong == []


@pytest.mark.parametrize(
    ("block", "line"),
    [
        ("return 1", 4),
        ("break", 4),
        ("continue", 4),
        ("if x:\n                return 1", 5),
        ("for one in x:\n                break", None),
        ("def inner():\n                return 1", None),
        ("await tx.save()", None),
    ],
)
def test_the_guard_sees_what_leaves_a_block(block: str, line: int | None) -> None:
    source = f"""async def act(work):
    async for attempt in work.attempts():
        async with attempt as tx:
            {block}
"""
    assert faults(source) == (1, [] if line is None else [line])


def test_nothing_stands_beside_the_block() -> None:
    source = """async def act(work):
    async for attempt in work.attempts():
        prepare()
        async with attempt as tx:
            await tx.save()
"""
    assert faults(source) == (1, [2])
