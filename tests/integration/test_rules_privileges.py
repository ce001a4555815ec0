"""R17: what a service's own credential does not open."""

import asyncio
from typing import Final

import asyncpg
import pytest

from saga_cli.topology import BY_NAME, SERVICES, Addresses, ServiceSpec

WITH_DATABASE: Final = tuple(spec for spec in SERVICES if spec.has_database)
PAIRS: Final = tuple((a, b) for a in WITH_DATABASE for b in WITH_DATABASE if a is not b)
FORBIDDEN: Final = (
    "CREATE ROLE thief SUPERUSER",
    "CREATE DATABASE thief",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "ALTER ROLE {other} PASSWORD 'known'",
    "GRANT {other} TO CURRENT_USER",
    "SET ROLE {other}",
    "SET SESSION AUTHORIZATION saga",
    "ALTER DATABASE {database} OWNER TO CURRENT_USER",
    "DROP DATABASE {database}",
    "SELECT * FROM pg_authid",
    "SELECT pg_read_file('postgresql.conf')",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{other}'",
    "ALTER SYSTEM SET fsync = off",
)


OF_THE_SCHEMA: Final = (
    "CREATE TABLE thief (id int)",
    "CREATE TEMPORARY TABLE thief (id int)",
    "CREATE SCHEMA thief",
    "CREATE FUNCTION thief() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE INDEX ON outbox (topic)",
    "ALTER TABLE outbox ADD COLUMN thief int",
    "ALTER TABLE outbox DISABLE TRIGGER ALL",
    "ALTER TABLE outbox OWNER TO CURRENT_USER",
    "DROP TABLE outbox",
    "DROP FUNCTION make_published_partition",
    "TRUNCATE outbox",
    "SET ROLE {owner}",
    "UPDATE alembic_version SET version_num = '0000'",
    "UPDATE operator_actions SET by = 'nobody'",
    "DELETE FROM operator_actions",
)


@pytest.mark.parametrize("own", WITH_DATABASE, ids=lambda spec: spec.name)
async def test_a_service_changes_nothing_of_its_schema_or_its_audit_trail(
    addresses: Addresses, own: ServiceSpec
) -> None:
    connection = await asyncpg.connect(addresses.database_url(own))
    for statement in OF_THE_SCHEMA:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement.format(owner=own.owner))
    for day in ("current_date", "current_date + 1"):
        with pytest.raises(asyncpg.InvalidParameterValueError, match="is not over"):
            await connection.execute(f"SELECT drop_published_partition({day})")
    with pytest.raises(asyncpg.InvalidParameterValueError, match="is too early"):
        await connection.execute("SELECT make_published_partition(current_date + 3)")
    await connection.close()


@pytest.mark.parametrize(("own", "other"), PAIRS, ids=lambda spec: spec.name)
def test_a_role_may_do_nothing_to_another_service(
    addresses: Addresses, own: ServiceSpec, other: ServiceSpec
) -> None:
    async def allowed() -> list[str]:
        connection = await asyncpg.connect(addresses.database_url(own))
        witness = await asyncpg.connect(addresses.database_url(other))
        done = []
        for form in FORBIDDEN:
            statement = form.format(other=other.role, database=other.database)
            try:
                await connection.execute(statement)
            except asyncpg.InsufficientPrivilegeError:
                continue
            done.append(statement)
        await witness.close()
        await connection.close()
        return done

    assert asyncio.run(allowed()) == []


@pytest.mark.parametrize("own", WITH_DATABASE, ids=lambda spec: spec.name)
def test_a_password_opens_one_role_alone(addresses: Addresses, own: ServiceSpec) -> None:
    async def opened() -> list[str]:
        found = []
        for spec in (spec for spec in WITH_DATABASE if spec is not own):
            url = addresses.database_url(spec).replace(
                addresses.passwords[spec.role], addresses.passwords[own.role]
            )
            try:
                connection = await asyncpg.connect(url)
            except asyncpg.InvalidPasswordError:
                continue
            await connection.close()
            found.append(spec.name)
        return found

    assert asyncio.run(opened()) == []


def test_loyalty_has_no_password_of_a_database(addresses: Addresses) -> None:
    assert BY_NAME["loyalty"].role not in addresses.passwords
