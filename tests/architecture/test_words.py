"""Standard terms: no private word is a part of a name, a metric, a log event or a text of a command.

`PRIVATE` has the words and what stands for each; `docs/glossary.md` has the terms. In an ordinary
sentence, such as a comment or the name of a test, they may stand.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

import pytest

from tests.architecture.test_tidy import ROOT, TREES, module_of

PRIVATE: Final = {
    "ailing": "unavailable",
    "aside": "refused, or reserved",
    "behind": "lagging, waiting, or rolled back",
    "carry_on": "retry, or continue",
    "heard": "consumed",
    "hears": "consumes",
    "hindmost": "drain",
    "let_go": "released",
    "lose": "mark as lost",
    "mood": "script",
    "owed": "outstanding",
    "owes": "outstanding",
    "at_hand": "local",
    "said": "message, or published",
    "tell": "print, or report",
    "tells": "prints, or reports",
    "told": "reported, or notified",
    "town": "system",
    "unheard": "not consumed",
    "weather": "faults",
    "whole": "complete, or total",
}
"""Each word, with `_` between the parts of one that has two, and what stands for it."""
STORED: Final = {"behind", "heard", "owed_since", "said"}
"""Columns of tables and fields of the operators' API: renamed, they would strand rows and clients."""
WORDS: Final = re.compile(rf"(?<![a-z])({'|'.join(PRIVATE)})(?![a-z])".replace("_", "[_ ]"))
METRICS: Final = {"Counter", "Gauge", "Histogram", "Summary"}
LEVELS: Final = {"debug", "info", "warning", "error", "exception", "critical"}
COMMANDS: Final = ("saga_cli/", "bench/", "chaos/")
OWN_WORLD: Final = re.compile(r"(^|/)(test_\w+|[a-z]+_svc/domain)\.py$")
API_MODELS: Final = {
    "chassis/http/operator_models.py",
    "chassis/http/outbox_api.py",
    "loyalty_svc/api.py",
    "order_svc/resources.py",
    "payment_svc/stripe_webhook.py",
}
"""Their classes are components of the OpenAPI documents, of which clients have generated names."""


def parts_of(name: str) -> str:
    """`CamelCase` and UPPER_CASE as snake_case."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def names_in(tree: ast.AST) -> Iterator[str]:
    """What a module defines; the name of a test is a sentence."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if not name.startswith("test_"):
                    yield name
            case ast.arg(arg=name) | ast.alias(asname=str(name)):
                yield name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name
            case _:
                pass


def called_with(tree: ast.AST) -> Iterator[str]:
    """Names and help of metrics; names of log events."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name), args=args) if name in METRICS:
                yield from strings(*args)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="log"), attr=name), args=args):
                yield from strings(*args) if name in LEVELS else ()
            case _:
                pass


def strings(*nodes: ast.AST) -> Iterator[str]:
    found = (node for each in nodes for node in ast.walk(each) if isinstance(node, ast.Constant))
    return (node.value for node in found if isinstance(node.value, str))


def texts_in(tree: ast.AST) -> Iterator[str]:
    """Strings of a module that are no docstrings: what its command may print."""
    alone = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return strings(*(n for n in ast.walk(tree) if isinstance(n, ast.Constant) and n not in alone))


def private_words(name: str, tree: ast.AST) -> set[str]:
    found = [*(n for n in names_in(tree) if n not in STORED), *module_of(name).split(".")]
    used = {f"{n} ({word})" for n in found for word in WORDS.findall(parts_of(n))}
    texts = [*called_with(tree), *(texts_in(tree) if name.startswith(COMMANDS) else ())]
    return used | {f"{t!r} ({word})" for t in texts if t not in STORED for word in WORDS.findall(t)}


def is_frozen(name: str) -> bool:
    """A migration that has been made is never edited."""
    return "migrations/versions/" in name


FOUND: Final[Mapping[str, set[str]]] = {
    name: words
    for name, tree in TREES.items()
    if not is_frozen(name) and (words := private_words(name, tree))
}


def test_no_private_word_is_in_a_name_or_a_text() -> None:
    assert {name: sorted(words) for name, words in FOUND.items()} == {}


def test_the_commands_page_has_no_private_word() -> None:
    lines = (ROOT / "docs" / "cli.md").read_text("utf-8").splitlines()
    assert [line for line in lines if WORDS.search(line.lower())] == []


def classes() -> dict[str, set[str]]:
    """By name, where it is defined, in all but tests of one module and the states of a domain.

    The five services never meet: a part that each has, such as its settings, counts as one place.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for name, tree in TREES.items():
        if name not in API_MODELS and not is_frozen(name) and not OWN_WORLD.search(name):
            place = re.sub(r"^[a-z]+_svc/", "*_svc/", name)
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    found[node.name].add(place)
    return found


def test_a_class_name_has_one_meaning() -> None:
    shared = {name: places for name, places in classes().items() if len(places) > 1}
    assert {name: sorted(places) for name, places in shared.items()} == {}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f(told): pass", {"told (told)"}),
        ("class OwedEffect: pass", {"OwedEffect (owed)"}),
        ("self.at_hand = 1", {"at_hand (at_hand)"}),
        ("TOLD_EVERY_S: int = 1", {"TOLD_EVERY_S (told)"}),
        ("import x as letGo", {"letGo (let_go)"}),
        ('Gauge("saga_x", "What is owed")', {"'What is owed' (owed)"}),
        ('log.info("rows_set_aside")', {"'rows_set_aside' (aside)"}),
        ("def test_it_is_told(): pass", set()),
        ("owed_since = closed = wholesale = 1", set()),
    ],
)
def test_a_private_word_is_found(source: str, expected: set[str]) -> None:
    assert private_words("chassis/x.py", ast.parse(source)) == expected


def test_what_a_command_prints_is_looked_into() -> None:
    tree = ast.parse('"""Told."""\nprint("it is told")')
    assert private_words("saga_cli/x.py", tree) == {"'it is told' (told)"}
    assert private_words("chassis/x.py", tree) == set()


def test_the_glossary_has_one_line_for_each_term_and_names_files_that_there_are() -> None:
    lines = (ROOT / "docs" / "glossary.md").read_text("utf-8").splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")][1:]
    terms = [row[0] for row in rows]
    assert terms == sorted(set(terms), key=str.lower)
    assert [row for row in rows if len(row) != 3] == []
    named = [path for row in rows for path in re.findall(r"`([^`]+)`", row[2])]
    assert [path for path in named if not (ROOT / path).exists()] == []
