"""The tables that the code declares are those that the migrations make, which run once."""

import asyncio
import subprocess
import sys
from uuid import uuid4

import asyncpg
import pytest
from alembic.script import ScriptDirectory

from chassis.errors import CannotStartError
from chassis.postgres import PostgresDatabase
from chassis.postgres.migrations import migrate, newest
from chassis.postgres.upgrading import config_of
from guarantees.declared import migrations_of
from guarantees.services import WITH_DATABASE
from saga_cli.topology import BY_NAME, Addresses

CHECK = """
import sys
from chassis.postgres import PostgresDatabase
import alembic.command
from chassis.postgres.upgrading import config_of
from chassis.process.runtime import migrations_of
import {service}_svc
config = config_of(migrations_of({service}_svc.__file__), PostgresDatabase.at(sys.argv[1]))
alembic.command.upgrade(config, "head")
alembic.command.check(config)
"""


AGAIN = """
import asyncio, sys
import {service}_svc.__main__
from chassis.postgres import PostgresDatabase
from chassis.postgres.migrations import migrate
from guarantees.declared import migrations_of
asyncio.run(migrate(migrations_of("{service}"), PostgresDatabase.at(sys.argv[1])))
print({{"alembic", "sqlalchemy"}} & sys.modules.keys())
"""
each_database = pytest.mark.parametrize("service", WITH_DATABASE)


def ended(code: str, url: str) -> str:
    """In a process of its own: all models of one process share their metadata."""
    run = [sys.executable, "-c", code, url]
    result = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@each_database
def test_the_models_and_the_migrations_agree(addresses: Addresses, service: str) -> None:
    ended(CHECK.format(service=service), addresses.owner_url(BY_NAME[service]))


@each_database
async def test_a_database_that_is_up_to_date_needs_no_alembic(
    addresses: Addresses, service: str
) -> None:
    url = addresses.database_url(BY_NAME[service])
    await migrate(migrations_of(service), PostgresDatabase.at(url))
    assert ended(AGAIN.format(service=service), url) == "set()\n"


@pytest.mark.parametrize("revision", ["9999", None])
async def test_a_schema_of_a_later_release_is_left_as_it_is(
    addresses: Addresses, revision: str | None
) -> None:
    """The release before starts on it when a deploy is taken back; what it does not know only adds."""
    admin = await asyncpg.connect(addresses.postgres_url)
    name = f"later_{uuid4().hex}"
    await admin.execute(f"CREATE DATABASE {name}")
    url = addresses.postgres_url.replace("/postgres", f"/{name}")
    connection = await asyncpg.connect(url)
    if revision:
        await connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        await connection.execute("INSERT INTO alembic_version VALUES ($1)", revision)
    await migrate(migrations_of("shipping"), PostgresDatabase.at(url))
    found = await connection.fetchval("SELECT version_num FROM alembic_version")
    has_tables = await connection.fetchval("SELECT to_regclass('shipments') IS NOT NULL")
    assert (found, has_tables) == (revision or newest(migrations_of("shipping")), revision is None)
    await connection.close()
    await admin.execute(f"DROP DATABASE {name}")
    await admin.close()


@each_database
def test_the_newest_migration_is_the_one_that_alembic_goes_to(service: str) -> None:
    folder = migrations_of(service)
    heads = ScriptDirectory.from_config(config_of(folder, PostgresDatabase.at(""))).get_heads()
    assert heads == [newest(folder)]


def test_a_database_that_refuses_us_is_a_wrong_setting(addresses: Addresses) -> None:
    good = addresses.database_url(BY_NAME["order"])
    password = good.partition("order_svc:")[2].partition("@")[0]
    wrong = [
        good.replace(password, "wrong"),
        good.replace("order_svc:", "nobody:"),
        f"{good}_of_nobody",
        good.replace("/order_db", "/payment_db"),
        f"{good}?sslmode=nonsense",
    ]
    for url in wrong:
        with pytest.raises(CannotStartError) as ended:
            asyncio.run(migrate(migrations_of("order"), PostgresDatabase.at(url)))
        assert (ended.value.code, password in str(ended.value)) == (2, False), url
