"""Log events, conditions and metrics that the operators' pages name are in the code."""

import ast
import re
from collections.abc import Collection, Iterator
from typing import Final

import pytest

from tests.architecture.test_tidy import ROOT, TREES
from tests.architecture.test_words import strings
from tests.support.syntax import nodes_of

PAGES: Final = ("docs/operators.md", "docs/runbook.md", "deploy/monitoring/rules.yaml")
TEXTS: Final = {page: " ".join((ROOT / page).read_text("utf-8").split()) for page in PAGES}
ELSEWHERE: Final = {"rule_files", "stop_grace_period"}
"""Settings of Prometheus and Compose."""
NAMES: Final = r"((?:`\w+`(?: \([^)]*\))?(?:, | and )?)+)"
"""One or several, each with its fields in brackets."""
LOG_EVENTS: Final = re.compile(
    rf"\blog(?: of loyalty| line| of the service says)? \(?{NAMES}|{NAMES} as warnings"
)
CONDITIONS: Final = re.compile(r"^\| `(\w+)` \| (?:200|503) \|", re.MULTILINE)
LEVELS: Final = {"debug", "info", "warning", "error", "exception", "critical"}
WORD: Final = re.compile(r"[a-z]+(?:_[a-z]+)+")


def product() -> Iterator[ast.Module]:
    return (tree for name, tree in TREES.items() if not name.startswith("tests/"))


def named(text: str) -> set[str]:
    """Words of several parts, and the reasons that a metric may have."""
    return {*re.findall(f"`({WORD.pattern})`", text), *re.findall(r'reason="(\w+)"', text)}


def logged(text: str) -> set[str]:
    """What is presented as a log event."""
    listed = "".join(map("".join, LOG_EVENTS.findall(text)))
    return set(re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", listed)))


def first_arguments(methods: Collection[str], owner: str = "") -> Iterator[str]:
    """The texts that calls of these functions, or methods of this owner, begin with."""
    for node in (node for tree in product() for node in nodes_of(tree)):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=of), attr=name), args=[text, *_]):
                is_meant = name in methods and owner in {"", of}
            case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name), args=[text, *_]) if (
                not owner
            ):
                is_meant = name in methods
            case _:
                continue
        if is_meant and isinstance(text, ast.Constant):
            yield str(text.value)


def keywords() -> Iterator[str]:
    """The fields of log lines."""
    nodes = (node for tree in product() for node in nodes_of(tree))
    return (node.arg for node in nodes if isinstance(node, ast.keyword) and node.arg)


def test_every_name_is_in_the_code() -> None:
    known = {*strings(*product()), *keywords()}
    assert set().union(*map(named, TEXTS.values())) - known == ELSEWHERE


def test_every_log_event_is_logged_under_this_name() -> None:
    events = {*first_arguments(LEVELS, "log"), *first_arguments({"level"})}
    found = {page: logged(text) for page, text in TEXTS.items()}
    assert {page: names - events for page, names in found.items()} == {p: set() for p in PAGES}
    assert len(set().union(*found.values())) > 10


def test_the_table_of_conditions_has_each_that_a_process_may_report() -> None:
    reported = {name for name in first_arguments({"report", "watch"}) if WORD.fullmatch(name)}
    assert set(CONDITIONS.findall((ROOT / PAGES[0]).read_text("utf-8"))) == reported


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ("log `begun` (`records`, `of`), `ended` (`seconds`) | the rebuild", {"begun", "ended"}),
        ("log of loyalty `lost` after it", {"lost"}),
        ("`one` and `other` as warnings say", {"one", "other"}),
        (
            "each change is a log line (`degraded`, `recovered`). A `balancer`",
            {"degraded", "recovered"},
        ),
        ("The log of the service says `not_started` with `why`", {"not_started"}),
    ],
)
def test_log_events_are_found_in_whatever_form(text: str, events: set[str]) -> None:
    assert logged(text) == events
