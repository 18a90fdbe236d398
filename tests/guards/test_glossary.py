"""docs/glossary.md has each word once, and the names it gives exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = re.findall(
    r"^\| (?!term)([^|]+) \| ([^|]+) \| ([^|]+) \|$",
    (ROOT / "docs" / "glossary.md").read_text("utf-8"),
    re.MULTILINE,
)


def test_each_word_stands_there_once() -> None:
    words = [word.strip() for terms, _, _ in ROWS for word in terms.split(",")]
    assert words
    assert len(words) == len(set(words))


def test_the_names_of_code_and_api_exist() -> None:
    folders = (ROOT / "daemons", ROOT / "bankctl", ROOT / "docs" / "api.md")
    files = [path for folder in folders for path in ([folder] if folder.is_file() else folder.rglob("*.py"))]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    names = {name for _, given, _ in ROWS for name in re.findall(r"`([^`]+)`", given)}
    assert [name for name in sorted(names) if name not in text and not (ROOT / name).is_file()] == []
