"""Text in SQL is sorted and compared by its bytes, whatever locale a database sorts text by.

A statement says `COLLATE "C"` wherever it orders by, or compares, what is text in one of the tables
it names; a placeholder may be anything.
"""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import Text

from chassis.postgres.tables import METADATA
from saga_cli.topology import SERVICES
from tests.architecture.test_tidy import SOURCES
from tests.support.syntax import nodes_of, tree_of

ROOT: Final = Path(__file__).parents[2]
for _spec in (spec for spec in SERVICES if spec.has_database):
    import_module(f"{_spec.module}.tables")
OF_TABLES: Final = {
    name: {column.name for column in table.columns if isinstance(column.type, Text)}
    for name, table in METADATA.tables.items()
} | {"replay_progress": {"topic"}}
NO_TEXT: Final = {"{ATTEMPT}", "{at}", "{by_age}"}
"""Placeholders of columns that are instants or numbers."""
IS_SQL: Final = re.compile(r"\b(SELECT|UPDATE|DELETE|INSERT)\b|\bORDER BY\b|\bWHERE\b")
NAMED: Final = re.compile(r"\b(?:FROM|JOIN|UPDATE|INTO)\s+(\w+|\{[^}]*\})")
ORDERED: Final = re.compile(
    r"\bORDER BY\s+(.+?)(?=\bLIMIT\b|\bFOR\b|\bRETURNING\b|\bON CONFLICT\b|\)|$)", re.DOTALL
)
COMPARED: Final = re.compile(r"([\w.]+|\{[^}]*\})(\s+COLLATE \"C\")?\s*(?:<|>|<=|>=|BETWEEN)\s")
FOLDED: Final = re.compile(r"\b(?:min|max|greatest|least)\(([\w.]+|\{[^}]*\})\)")


def statements(path: Path) -> Iterator[tuple[int, str]]:
    """Literals that are SQL; what is formatted in stands between braces."""
    tree = tree_of(path)
    inner = {id(part) for n in nodes_of(tree) if isinstance(n, ast.JoinedStr) for part in n.values}
    for node in nodes_of(tree):
        if isinstance(node, ast.JoinedStr):
            text = "".join(
                str(part.value)
                if isinstance(part, ast.Constant)
                else f"{{{ast.unparse(part.value)}}}"
                for part in node.values
                if isinstance(part, ast.Constant | ast.FormattedValue)
            )
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner
        ):
            text = node.value
        else:
            continue
        if IS_SQL.search(text):
            yield node.lineno, text


def by_locale(sql: str) -> list[str]:
    """What a locale would decide on in a statement."""
    named = set(NAMED.findall(sql))
    known = named & OF_TABLES.keys()
    every = not named or any(name.startswith("{") for name in named)
    tables = OF_TABLES.keys() if every else known
    text = {column for name in tables for column in OF_TABLES[name]}

    def is_text(term: str) -> bool:
        term = re.sub(r"\s+(ASC|DESC)\b", "", term.strip())
        if term.startswith("{"):
            return term not in NO_TEXT and not term.endswith(' COLLATE "C"')
        return term.split(".")[-1] in text

    ordered = [term for terms in ORDERED.findall(sql) for term in terms.split(",")]
    compared = [name for name, collation in COMPARED.findall(sql) if not collation]
    return [t.strip() for t in (*ordered, *compared, *FOLDED.findall(sql)) if is_text(t)]


def test_no_statement_leaves_it_to_a_locale() -> None:
    packages = ("chassis", "saga_cli", "bench", "chaos", *(spec.module for spec in SERVICES))
    found = [
        f"{name}:{line}: {term}"
        for name in SOURCES
        if name.startswith(tuple(f"{package}/" for package in packages))
        for line, sql in statements(ROOT / name)
        for term in by_locale(sql)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("sql", "term"),
    [
        ("SELECT status FROM orders WHERE order_id < $1", "order_id"),
        ("SELECT status FROM orders ORDER BY order_id DESC LIMIT 3", "order_id DESC"),
        ("SELECT id FROM effects ORDER BY owed_since, id", "id"),
        ("SELECT max(o.order_id) FROM orders AS o", "o.order_id"),
        ("SELECT a FROM {table} ORDER BY {key}", "{key}"),
    ],
)
def test_a_locale_that_would_decide_is_found(sql: str, term: str) -> None:
    assert by_locale(sql) == [term]


@pytest.mark.parametrize(
    "sql",
    [
        'SELECT status FROM orders WHERE order_id COLLATE "C" < $1 ORDER BY order_id COLLATE "C" DESC',
        "SELECT id FROM outbox ORDER BY id",
        "SELECT key FROM parked GROUP BY key ORDER BY min(id)",
        "SELECT ctid FROM {table} WHERE {at} < $1 ORDER BY {at} LIMIT $2",
    ],
)
def test_what_sorts_by_itself_or_by_its_bytes_is_not(sql: str) -> None:
    assert by_locale(sql) == []
