"""The mechanism knows no order: names and texts of `chassis/` have none of the services' vocabulary.

A docstring may name a service as an example. What a service stores under such a name it declares, as text:
the names are those of its tables.
"""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Final

import pytest

from chassis.postgres.tables import METADATA
from guarantees.declared import service_of, tables_of
from guarantees.services import SERVICES, WITH_DATABASE
from shared_events.catalog import CATALOG
from tests.architecture.test_tidy import TREES
from tests.architecture.test_words import parts_of, texts_in
from tests.support.syntax import nodes_of

COLUMNS: Final = {"heard", "order_id", "said", "timeline"}
SUBJECTS: Final = {name.partition(".")[0] for name in CATALOG.names}
"""What events are about: `stock` of `stock.reserved.v1`, and its like."""
SERVICE_NAMES: Final = {manifest.name for manifest in SERVICES}
WORDS: Final = re.compile(
    rf"(?<![a-z])({'|'.join(sorted(COLUMNS | SUBJECTS | SERVICE_NAMES))})s?(?![a-z])"
)
SEQUENCE: Final = {"in_order"}
CLAUSE: Final = re.compile(r"\bORDER BY\b")
API_TEXTS: Final = {
    "/orders",
    "All that the service knows of an order",
    "An order's id, or whatever key a message has.",
    "Run an order's outstanding effects now",
    "For operators: where an order is, dead letters, outstanding effects.",
    "What operators did to an order",
    "order.forward",
}
"""Of the operators' API, whose documents clients have: one path, texts and an example."""


def names_in(tree: ast.AST) -> Iterator[str]:
    """All that a module defines, uses or imports."""
    for node in nodes_of(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                yield name
            case ast.AsyncFunctionDef(name=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
                yield name
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(asname=str(name)):
                yield name
            case _:
                pass


def vocabulary_in(tree: ast.AST) -> set[str]:
    names = {name for name in names_in(tree) if WORDS.search(parts_of(name))}
    texts = {text for text in texts_in(tree) if WORDS.search(CLAUSE.sub("", text).lower())}
    return (names - SEQUENCE) | (texts - API_TEXTS)


def test_the_mechanism_has_no_name_and_no_text_of_a_service() -> None:
    found = {
        name: sorted(words)
        for name, tree in TREES.items()
        if name.startswith("chassis/") and (words := vocabulary_in(tree))
    }
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        "def shown(order_id): pass",
        "state.order",
        "class PaymentRow: pass",
        'SQL = "INSERT INTO timeline VALUES ($1)"',
        'WAITS_FOR = "stock.reserved.v1"',
        'f"{service}: said {what}"',
    ],
)
def test_a_word_of_a_service_is_found(source: str) -> None:
    assert len(vocabulary_in(ast.parse(source))) == 1


@pytest.mark.parametrize(
    "source", ['"""An order."""', "in_order = 1", '"SELECT id FROM outbox ORDER BY id"', "reorder"]
)
def test_a_sequence_and_a_docstring_are_not(source: str) -> None:
    assert vocabulary_in(ast.parse(source)) == set()


@pytest.mark.parametrize("service", WITH_DATABASE)
def test_keys_and_columns_that_a_service_names_are_those_of_its_tables(service: str) -> None:
    import_module(f"{service}_svc.tables")
    own, shared = tables_of(service)
    for table in (own,) if shared is None else (own, shared):
        key = METADATA.tables[table.table].primary_key
        assert [column.name for column in key] == [table.key]
    if journal := service_of(service).journal:
        assert set(journal.columns) <= set(METADATA.tables[journal.table].columns.keys())
