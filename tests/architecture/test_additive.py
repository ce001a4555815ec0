"""Migrations after the first only add: the previous release runs on the new schema meanwhile."""

from pathlib import Path

import pytest

from saga_cli.deploy.expanding import breaking
from saga_cli.deploy.released import statements
from saga_cli.topology import SERVICES

ROOT = Path(__file__).parents[2]
MIGRATIONS = {
    f"{spec.name} {path.stem}": path
    for spec in SERVICES
    for path in sorted((ROOT / spec.module / "migrations" / "versions").glob("*.py"))
}


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
