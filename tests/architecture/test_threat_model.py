"""docs/threat-model.md: each edge of the declarations is in it, each threat names a test that runs."""

import ast
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.architecture.test_tidy import TREES, functions
from tests.threat_page import OPEN, STRIDE, THREATS, Section, edges, sections, threat_page

PAGE: Final = THREATS.read_text("utf-8")
SECTIONS: Final = sections(PAGE)
EDGES: Final = {name: section for name, section in SECTIONS.items() if name != OPEN}
NAMED: Final = sorted({test for s in EDGES.values() for t in s.threats for test in t.tests})
NEVER_RUN: Final = {"skip", "xfail"}


@cache
def found_in(file: str) -> dict[str, set[str]]:
    """The tests of a file, with the marks that each has."""
    if not file.rpartition("/")[2].startswith("test_") or file not in TREES:
        return {}
    return {f.name: marks_of(f) for f in functions(TREES[file]) if f.name.startswith("test_")}


def marks_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    decorators = [d for d in map(ast.unparse, function.decorator_list) if "pytest.mark." in d]
    return {d.partition("pytest.mark.")[2].partition("(")[0] for d in decorators}


def wrong_with(test: str) -> str:
    """What keeps a named test from running; "" if nothing does."""
    file, _, name = test.partition("::")
    marks = found_in(file).get(name)
    if marks is None:
        return f"there is no {test}"
    return "".join(f"{test} is marked {mark}" for mark in sorted(marks & NEVER_RUN))


def without_a_test(section: Section) -> list[str]:
    return [threat.threat for threat in section.threats if not threat.tests]


def not_considered(section: Section) -> set[str]:
    """The letters of STRIDE of which a section says nothing."""
    return set(STRIDE) - {*section.none, *"".join(threat.letters for threat in section.threats)}


def test_the_table_of_edges_is_that_of_the_declarations() -> None:
    assert threat_page() == PAGE


def test_each_edge_has_a_section_and_each_section_an_edge() -> None:
    assert {edge.section for edge in edges()} == EDGES.keys()


@pytest.mark.parametrize("name", EDGES)
def test_each_kind_of_threat_is_considered(name: str) -> None:
    assert not_considered(EDGES[name]) == set()


@pytest.mark.parametrize("name", EDGES)
def test_no_threat_is_without_a_test(name: str) -> None:
    assert without_a_test(EDGES[name]) == []


@pytest.mark.parametrize("test", NAMED)
def test_each_named_test_exists(test: str) -> None:
    assert wrong_with(test) == ""


def test_each_named_test_is_collected(request: pytest.FixtureRequest) -> None:
    """Where the whole suite runs, pytest itself has to have found each, and left out none."""
    asked, option = [Path(words).name for words in request.config.args], request.config.getoption
    is_all = asked == request.config.getini("testpaths") and not option("-m") and not option("-k")
    collected = {item.nodeid.partition("[")[0] for item in request.session.items}
    assert request.node.nodeid in collected
    assert not is_all or set(NAMED) - collected == set()


def test_what_is_open_says_what_is_missing_and_claims_no_test() -> None:
    threats = SECTIONS[OPEN].threats if OPEN in SECTIONS else []
    assert all(len(threat.control) > 20 and not threat.tests for threat in threats)


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        ("| S | a forged thing | a check | `tests/chassis/test_none.py::test_it` |", "there is no"),
        (
            "| S | a forged thing | a check | `tests/architecture/test_tidy.py::test_no` |",
            "there is",
        ),
        ("| S | a forged thing | a check | by review |", "a forged thing"),
        ("| S | a forged thing | a check |", "a forged thing"),
    ],
)
def test_a_row_that_proves_nothing_is_found(row: str, wrong: str) -> None:
    text = f"## Edge\n\n| STRIDE | threat | control | covered by |\n|---|---|---|---|\n{row}\n"
    section = sections(text)["Edge"]
    named = [wrong_with(test) for threat in section.threats for test in threat.tests]
    assert wrong in " ".join([*named, *without_a_test(section)])


@pytest.mark.parametrize("row", ["| X | a | b | c |", "| S | a |  | c |", "| S | a | b | c | d |"])
def test_a_row_off_the_form_is_refused(row: str) -> None:
    with pytest.raises(ValueError, match="has not the form"):
        sections(
            f"## Edge\n\n| STRIDE | threat | control | covered by |\n|---|---|---|---|\n{row}\n"
        )


def test_a_section_that_forgets_a_kind_is_found() -> None:
    text = (
        "## Edge\n\nNo R: nothing is decided.\n\n| STRIDE | threat | control | covered by |\n"
        "|---|---|---|---|\n| S, T | a | b | `tests/x.py::test_y` |\n"
    )
    assert not_considered(sections(text)["Edge"]) == {"I", "D", "E"}
