"""What travels has one name and one rule, in daemons/contracts: neither side keeps a twin."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from daemons.contracts import errors, names, permissions, vocabulary

ROOT = Path(__file__).parents[2]
HOMES: tuple[ModuleType, ...] = (errors, names, permissions, vocabulary)
HOME_FILES = {Path(str(home.__file__)).relative_to(ROOT).as_posix() for home in HOMES}
MATCHERS = {"compile", "fullmatch", "match", "search", "sub", "StringConstraints"}


@cache
def sources() -> dict[str, ast.Module]:
    files = [path for part in ("bankctl", "daemons") for path in (ROOT / part).rglob("*.py")]
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in files}


def texts(nodes: list[ast.expr] | list[ast.expr | None]) -> frozenset[str] | None:
    values = [node.value if isinstance(node, ast.Constant) else None for node in nodes]
    return frozenset(map(str, values)) if all(isinstance(value, str) for value in values) else None


def lists_of_words(tree: ast.Module) -> Iterator[tuple[int, frozenset[str]]]:
    """Each list, set, tuple (of a Literal too), dictionary or enum whose words all stand in the text."""
    for node in ast.walk(tree):
        found = None
        if isinstance(node, ast.List | ast.Set | ast.Tuple):
            found = texts(node.elts)
        elif isinstance(node, ast.Dict):
            found = texts(node.keys)
        elif isinstance(node, ast.ClassDef):
            found = texts([one.value for one in node.body if isinstance(one, ast.Assign)])
        if found is not None and len(found) > 1:
            yield node.lineno, found


def patterns(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Each regular expression, without the anchors that only some ways of matching need."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
        given = [one.value for one in node.keywords if one.arg in {"pattern", "regex"}]
        for argument in [*given, *(node.args[:1] if name in MATCHERS else [])]:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield node.lineno, argument.value.removeprefix("^").removesuffix("$")


def enums() -> dict[frozenset[str], str]:
    found = [
        one for home in HOMES for one in vars(home).values() if isinstance(one, type) and one is not StrEnum
    ]
    return {
        frozenset(str(member) for member in one): one.__name__ for one in found if issubclass(one, StrEnum)
    }


def words() -> dict[str, str]:
    """Headers, cookies, media types and the codes that the command line acts on."""
    constants = {
        value: name
        for name, value in vars(names).items()
        if isinstance(value, str) and not name.startswith("__")
    }
    return constants | {code.value: f"Code.{code.name}" for code in names.Code}


def twins_of_enums(tree: ast.Module) -> list[str]:
    known = enums()
    return [f"{line}: {known[found]}" for line, found in lists_of_words(tree) if found in known]


def twins_of_words(tree: ast.Module) -> list[str]:
    known = words()
    return [
        f"{node.lineno}: {known[node.value]}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in known
    ]


def shared_patterns(trees: dict[str, ast.Module]) -> dict[str, list[str]]:
    places: dict[str, list[str]] = defaultdict(list)
    for file, tree in trees.items():
        for line, pattern in patterns(tree):
            places[pattern].append(f"{file}:{line}")
    for pattern in (value for name, value in vars(vocabulary).items() if name.endswith("_PATTERN")):
        places[pattern.removeprefix("^").removesuffix("$")].append("vocabulary")
    return {
        pattern: found
        for pattern, found in places.items()
        if len(found) > 1 and ("vocabulary" in found or len({place.partition("/")[0] for place in found}) > 1)
    }


def limits(trees: dict[str, ast.Module]) -> dict[str, set[str]]:
    """Names of whole numbers that more than one place gives a value, of those that the vocabulary has."""
    known = {name for name, value in vars(vocabulary).items() if isinstance(value, int)}
    found: dict[str, set[str]] = defaultdict(set)
    for file, tree in trees.items():
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                found[node.targets[0].id.lstrip("_")].add(file)
    return {name: files for name, files in found.items() if name in known and len(files) > 1}


def test_no_enum_of_the_vocabulary_has_a_twin() -> None:
    twins = {file: twins_of_enums(tree) for file, tree in sources().items() if file not in HOME_FILES}
    assert {file: found for file, found in twins.items() if found} == {}
    assert len(enums()) >= 15


def test_no_header_cookie_or_code_of_the_vocabulary_is_written_out_elsewhere() -> None:
    twins = {file: twins_of_words(tree) for file, tree in sources().items() if file not in HOME_FILES}
    assert {file: found for file, found in twins.items() if found} == {}
    assert len(words()) >= 15


def test_no_pattern_of_the_vocabulary_or_of_both_sides_stands_twice() -> None:
    assert shared_patterns(sources()) == {}


def test_no_limit_of_the_vocabulary_has_a_second_value() -> None:
    assert limits(sources()) == {}


def test_one_module_computes_check_digits() -> None:
    users = [
        file
        for file, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("stdnum")
    ]
    assert users == ["daemons/contracts/vocabulary.py"]


@pytest.mark.parametrize(
    ("text", "twin"),
    [
        ('class Kind(StrEnum):\n    A = "checking"\n    B = "savings"', "AccountType"),
        ('Name = Literal["frozen", "active", "closed"]', "AccountStatus"),
        ('ROLES = ("user", "support", "operator", "admin")', "Role"),
        ('STATUS = {"completed": 1, "failed": 2}', "RecordStatus"),
    ],
)
def test_a_twin_of_an_enum_is_found(text: str, twin: str) -> None:
    [found] = twins_of_enums(ast.parse(text))
    assert found.endswith(twin)


def test_a_twin_of_a_word_is_found() -> None:
    text = 'send({"Idempotency-Key": key}, "__Host-bankctl")\nif code == "session_ended":\n    pass'
    assert {found.partition(" ")[2] for found in twins_of_words(ast.parse(text))} == {
        "IDEMPOTENCY_KEY_HEADER",
        "SESSION_COOKIE",
        "Code.SESSION_ENDED",
    }


def test_a_twin_of_a_pattern_or_a_limit_is_found() -> None:
    here = ast.parse('check = re.compile(r"[0-9]{4}x")\nkey = Field(pattern=r"^[\\x21-\\x7e]{1,128}$")')
    there = ast.parse('Field(pattern="^[0-9]{4}x$")\n_BATCH_LIMIT = 500')
    trees = {"bankctl/one.py": here, "daemons/two.py": there}
    assert set(shared_patterns(trees)) == {"[0-9]{4}x", "[\\x21-\\x7e]{1,128}"}
    trees["daemons/contracts/vocabulary.py"] = ast.parse("BATCH_LIMIT = 500")
    assert limits(trees) == {"BATCH_LIMIT": {"daemons/two.py", "daemons/contracts/vocabulary.py"}}
