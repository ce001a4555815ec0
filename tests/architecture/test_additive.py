"""Migrations after the first only add: the previous release runs on the new schema meanwhile."""

import io
import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Final

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations

from saga_cli.topology import SERVICES

ROOT = Path(__file__).parents[2]
MIGRATIONS = {
    f"{spec.name} {path.stem}": path
    for spec in SERVICES
    for path in sorted((ROOT / spec.module / "migrations" / "versions").glob("*.py"))
}
NEW_TABLE: Final = re.compile(r"CREATE TABLE (\w+) ")
NEW_INDEX: Final = re.compile(r"CREATE (UNIQUE )?INDEX \w+ ON (\w+) ")
NEW_COLUMN: Final = re.compile(r"ALTER TABLE (\w+) ADD COLUMN (.*)", re.DOTALL)
NEW_FUNCTION: Final = re.compile(r"CREATE FUNCTION .*\$\$.*\$\$", re.DOTALL)
STORAGE: Final = re.compile(r"ALTER TABLE \w+ SET \(.*\)", re.DOTALL)
SEMICOLON: Final = re.compile(r";(?=(?:[^$]|\$\$[^$]*\$\$)*$)")
"""One that ends a statement: not within the body of a function."""


def statements(path: Path) -> list[str]:
    """The SQL of a migration, as Alembic would run it on PostgreSQL."""
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    written = io.StringIO()
    options = {"as_sql": True, "output_buffer": written}
    context = MigrationContext.configure(dialect_name="postgresql", opts=options)
    with Operations.context(context):
        module.upgrade()
    return [text.strip() for text in SEMICOLON.split(written.getvalue()) if text.strip()]


def breaking(sql: list[str]) -> list[str]:
    """Statements that code which does not know of them may stumble over."""
    created = {found[1] for text in sql if (found := NEW_TABLE.match(text))}
    return [text for text in sql if not _only_adds(text, created)]


def _only_adds(text: str, created: set[str]) -> bool:
    if column := NEW_COLUMN.match(text):
        optional = "NOT NULL" not in column[2] or "DEFAULT" in column[2]
        return optional and not re.search(r"UNIQUE|CHECK|REFERENCES", column[2])
    if index := NEW_INDEX.match(text):
        return not index[1] or index[2] in created
    return bool(NEW_TABLE.match(text) or STORAGE.fullmatch(text) or NEW_FUNCTION.fullmatch(text))


def test_each_service_with_a_database_has_migrations() -> None:
    expected = {spec.name for spec in SERVICES if spec.has_database}
    assert {name.split()[0] for name in MIGRATIONS} == expected


@pytest.mark.parametrize("name", [name for name in MIGRATIONS if " 0001" not in name])
def test_a_migration_only_adds(name: str) -> None:
    assert breaking(statements(MIGRATIONS[name])) == []


@pytest.mark.parametrize(
    "text",
    [
        "ALTER TABLE outbox DROP COLUMN shard",
        "ALTER TABLE outbox RENAME TO sent",
        "ALTER TABLE outbox ALTER COLUMN key TYPE VARCHAR(10)",
        "ALTER TABLE outbox ADD COLUMN owner TEXT NOT NULL",
        "ALTER TABLE outbox ADD COLUMN owner TEXT UNIQUE",
        "ALTER TABLE outbox ADD CONSTRAINT small CHECK (shard < 9)",
        "CREATE UNIQUE INDEX one_key ON outbox (key)",
        "DROP INDEX outbox_shard_id",
        "DELETE FROM outbox",
        "CREATE OR REPLACE FUNCTION old() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$",
    ],
)
def test_what_the_previous_release_would_stumble_over_is_noticed(text: str) -> None:
    assert breaking([text]) == [text]
