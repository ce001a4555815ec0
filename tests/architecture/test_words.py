"""Standard terms: no private word is a part of a name, or of a text of the product.

`PRIVATE` has the words and what stands for each; `docs/glossary.md` has the terms. In an ordinary
sentence, such as a comment or the name of a test, they may stand.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.architecture.test_tidy import ROOT, TREES, files, module_of
from tests.support.syntax import nodes_of

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
API_NAMES: Final = {"behind", "nothing_owed", "owed_since"}
"""Fields and a problem code of the operators' API: renamed, they would strand clients."""
TIMELINE: Final = {"heard", "said"}
"""Columns of the orders' timeline, and fields of its API."""
SINCE: Final = {"owed_since"}
"""A column of the effects, and what is read from it."""
ALLOWED: Final[Mapping[str, set[str]]] = {
    "chassis/decide.py": {"waits behind a parked message"},  # a reason that rows have
    "chassis/http/operator_api.py": API_NAMES,
    "chassis/http/operator_models.py": API_NAMES,
    "chassis/http/outbox_api.py": API_NAMES,
    "chassis/kafka/decompression.py": {"whole buffer"},  # a library's message
    "chassis/message.py": SINCE,
    "chassis/postgres/schema.py": SINCE,
    "chassis/postgres/sql.py": SINCE,
    "chassis/postgres/tables.py": SINCE,
    "chassis/service.py": SINCE,
    "console/web/failures.py": API_NAMES,
    "guarantees/whereabouts.py": API_NAMES,
    "order_svc/api.py": TIMELINE,
    "order_svc/following.py": TIMELINE,
    "order_svc/resources.py": TIMELINE,
    "order_svc/service.py": TIMELINE,
    "order_svc/tables.py": TIMELINE,
    "saga_cli/ops/dead_letters.py": API_NAMES,
    "saga_cli/ops/outbox.py": API_NAMES,
    "saga_cli/replay/partition.py": SINCE,
    "simulation/edits/postgres.py": {"owed_already", "was_heard_long_ago"},  # names of tests
    "simulation/edits/rights.py": {"is_told_from"},
}
"""What may stand in a file: a few names that are stored, or that clients have."""
WORDS: Final = re.compile(rf"(?<![a-z])({'|'.join(PRIVATE)})(?![a-z])".replace("_", "[_ ]"))
OPENAPI: Final = re.compile(r"chassis/http/|[a-z]+_svc/(api|resources|stripe_webhook)\.py$")
CAMEL_CASE: Final = re.compile(r"[A-Z][a-z0-9]+([A-Z]|[a-z0-9]*$)")
OWN_WORLD: Final = re.compile(r"(^|/)(test_\w+|[a-z]+_svc/domain)\.py$")
API_MODELS: Final = {
    "chassis/http/operator_models.py",
    "chassis/http/outbox_api.py",
    "loyalty_svc/api.py",
    "order_svc/resources.py",
    "payment_svc/stripe_webhook.py",
}
"""Their classes are components of the OpenAPI documents, of which clients have generated names.

Pydantic names a component as Python names its class: with another name there, a client would get another.
"""


def parts_of(name: str) -> str:
    """`CamelCase` and UPPER_CASE as snake_case."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def names_in(tree: ast.AST) -> Iterator[str]:
    """What a module defines; the name of a test is a sentence."""
    for node in nodes_of(tree):
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


def strings(*nodes: ast.AST) -> Iterator[str]:
    found = (node for each in nodes for node in ast.walk(each) if isinstance(node, ast.Constant))
    return (node.value for node in found if isinstance(node.value, str))


def texts_in(tree: ast.AST) -> Iterator[str]:
    """Strings of a module that are no docstrings: what it may print, log or send."""
    alone = {node.value for node in nodes_of(tree) if isinstance(node, ast.Expr)}
    constants = (n for n in nodes_of(tree) if isinstance(n, ast.Constant) and n not in alone)
    return (node.value for node in constants if isinstance(node.value, str))


def descriptions_in(tree: ast.AST) -> Iterator[str]:
    """Docstrings of routes and models, which FastAPI puts into the OpenAPI document."""
    for node in nodes_of(tree):
        match node:
            case ast.ClassDef() | ast.FunctionDef(decorator_list=[_, *_]):
                yield ast.get_docstring(node) or ""
            case ast.AsyncFunctionDef(decorator_list=[_, *_]):
                yield ast.get_docstring(node) or ""
            case _:
                pass


def private_words(name: str, tree: ast.AST) -> set[str]:
    found = [(n, parts_of(n)) for n in (*names_in(tree), *module_of(name).split("."))]
    if not name.startswith("tests/"):
        texts = (*texts_in(tree), *(descriptions_in(tree) if OPENAPI.match(name) else ()))
        found += [(repr(text), text.lower()) for text in texts]
    return {f"{n} ({word})" for n, text in found for word in words_in(text, ALLOWED.get(name, ()))}


def words_in(text: str, allowed: Collection[str] = ()) -> list[str]:
    for each in allowed:
        text = re.sub(rf"(?<![a-z]){each}(?![a-z])", "", text)
    return WORDS.findall(text)


def is_frozen(name: str) -> bool:
    """A migration that has been made is never edited."""
    return "migrations/versions/" in name


def test_no_private_word_is_in_a_name_or_a_text() -> None:
    own = {name: tree for name, tree in TREES.items() if not is_frozen(name)}
    found = {name: sorted(private_words(name, tree)) for name, tree in own.items()}
    assert {name: words for name, words in found.items() if words} == {}


def test_the_commands_page_has_no_private_word() -> None:
    lines = (ROOT / "docs" / "cli.md").read_text("utf-8").splitlines()
    assert [line for line in lines if WORDS.search(line.lower())] == []


def types_in(tree: ast.Module) -> Iterator[str]:
    """Classes, and what a module calls like one: aliases of types, NewTypes, TypeVars, models."""
    yield from (node.name for node in nodes_of(tree) if isinstance(node, ast.ClassDef))
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                if CAMEL_CASE.match(name):
                    yield name
            case _:
                pass


def types() -> dict[str, set[str]]:
    """By name, where it is defined, in all but tests of one module and the states of a domain.

    The services never meet: a part that each has, such as its settings, counts as one place.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for name, tree in TREES.items():
        if name not in API_MODELS and not is_frozen(name) and not OWN_WORLD.search(name):
            for each in types_in(tree):
                found[each].add(re.sub(r"^[a-z]+_svc/", "*_svc/", name))
    return found


def test_the_name_of_a_type_has_one_meaning() -> None:
    shared = {name: places for name, places in types().items() if len(places) > 1}
    assert {name: sorted(places) for name, places in shared.items()} == {}


def test_an_alias_is_the_name_of_a_type() -> None:
    source = "class A: pass\nPart = int | str\nPlace: TypeAlias = str\nTOPIC = x = 1\ny: int = 2"
    assert set(types_in(ast.parse(source))) == {"A", "Part", "Place"}


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
        ("closed = wholesale = 1", set()),
        ("owed_since = 1", {"owed_since (owed)"}),
    ],
)
def test_a_private_word_is_found(source: str, expected: set[str]) -> None:
    assert private_words("chassis/x.py", ast.parse(source)) == expected


def test_a_text_of_the_product_is_looked_into_and_a_docstring_only_in_the_api() -> None:
    tree = ast.parse('"""Told."""\nprint("It is told")\n@get("/x")\ndef f():\n    """Said."""')
    assert private_words("tests/x.py", tree) == set()
    assert private_words("saga_cli/x.py", tree) == {"'It is told' (told)"}
    assert private_words("chassis/http/x.py", tree) == {"'It is told' (told)", "'Said.' (said)"}


def test_a_stored_name_is_allowed_where_it_is_read_alone() -> None:
    tree = ast.parse('heard = unheard = db.fetch("SELECT heard, said FROM timeline")')
    assert private_words("order_svc/tables.py", tree) == {"unheard (unheard)"}
    assert len(private_words("payment_svc/tables.py", tree)) == 4


def test_each_file_has_what_is_allowed_there() -> None:
    texts = {name: (ROOT / name).read_text("utf-8") for name in ALLOWED}
    assert [n for n, words in ALLOWED.items() if not any(w in texts[n] for w in words)] == []


SCRIPTS: Final = [path for path in files(".lua") if "release_before" not in path.parts]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_no_private_word_is_in_a_script(path: Path) -> None:
    code = re.sub(r"--.*", "", path.read_text("utf-8"))
    assert words_in(parts_of(code)) == []


def test_the_glossary_has_one_line_for_each_term_and_names_files_that_there_are() -> None:
    lines = (ROOT / "docs" / "glossary.md").read_text("utf-8").splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")][1:]
    terms = [row[0] for row in rows]
    assert terms == sorted(set(terms), key=str.lower)
    assert [row for row in rows if len(row) != 3] == []
    named = [path for row in rows for path in re.findall(r"`([^`]+)`", row[2])]
    assert [path for path in named if not (ROOT / path).exists()] == []
