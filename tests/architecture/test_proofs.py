"""docs/testing.md names a test for each guarantee and each pitfall, and every test it names exists."""

import ast
import re
from typing import Final

import pytest

from tests.architecture.test_tidy import ROOT, TREES

PAGE: Final = (ROOT / "docs" / "testing.md").read_text("utf-8")
NAMED: Final = re.compile(r"`([\w/]+\.py)::(\w+)`")
FILES: Final = re.compile(r"`(tests/[\w/]+\.py)`(?! \(see file\))")
GUARANTEES: Final = {f"G{n}" for n in range(1, 10)}
PITFALLS: Final = {str(n) for n in range(1, 25)}


def functions_of(path: str) -> set[str]:
    tree = TREES.get(path)
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = {node.name for node in tree.body if isinstance(node, functions)} if tree else set()
    return {name for name in found if name.startswith("test_")}


def rows(first: str) -> dict[str, str]:
    """Rows of the page's tables by the word in their first cell, if it is one of this form."""
    found = re.findall(rf"^\| ({first})\b[^|]*\|(.*)$", PAGE, re.MULTILINE)
    names = [name for name, _ in found]
    assert len(names) == len(set(names)), "a row is there twice"
    return dict(found)


@pytest.mark.parametrize("path", sorted({path for path, _ in NAMED.findall(PAGE)}))
def test_the_tests_that_the_page_names_exist(path: str) -> None:
    named = {name for file, name in NAMED.findall(PAGE) if file == path}
    assert named - functions_of(path) == set()


def test_a_file_that_the_page_names_exists() -> None:
    assert {path for path in FILES.findall(PAGE) if path not in TREES} == set()


def test_every_guarantee_and_every_pitfall_has_its_proof() -> None:
    guarantees, pitfalls = rows(r"G\d"), rows(r"\d+")
    assert set(guarantees) == GUARANTEES
    assert set(pitfalls) == PITFALLS
    unproved = {name for name, text in (guarantees | pitfalls).items() if ".py" not in text}
    assert unproved == set()
