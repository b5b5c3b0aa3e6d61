"""Does docs/trust.md name only tests that exist?"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "trust.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def written_in(path: Path) -> set[str]:
    """Return the names of the test functions of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {function.name for function in functions if function.name.startswith("test_")}


def absent(text: str) -> list[str]:
    """Return the tests that a text names and that do not exist, in the order of the text."""
    named = NAMED.findall(text)
    held = {file: written_in(ROOT / file) if (ROOT / file).is_file() else set() for file, _ in named}
    return [f"{file}::{name}" for file, name in named if name not in held[file]]


def test_every_test_that_the_trust_page_names_exists() -> None:
    text = PAGE.read_text(encoding="utf-8")

    assert len(NAMED.findall(text)) > 50
    assert text.count("::") == len(NAMED.findall(text)), (
        "a test is named in another form than `tests/file.py::test_name`"
    )
    assert absent(text) == []


@pytest.mark.parametrize(
    "name",
    [
        "tests/test_trust_page.py::test_that_nobody_wrote",
        "tests/test_nowhere.py::test_every_test",
        "tests/x.py::absent",
    ],
)
def test_a_name_without_a_test_is_seen(name: str) -> None:
    assert absent(f"| a promise | `{name}` |") == [name]


def test_every_promise_has_a_test() -> None:
    rows = [
        line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ") and "---" not in line
    ]
    headings = ("| promise ", "| what leaves ")

    assert [row for row in rows if not row.startswith(headings) and not NAMED.search(row)] == []
