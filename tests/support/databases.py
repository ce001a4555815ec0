"""Databases beside a service's own."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from saga_cli.stack.services import Services
from saga_cli.topology import BY_NAME


def a_new_database(system: Services, name: str, suffix: str) -> str:
    """Empty, and owned by the service's role."""
    spec, database = BY_NAME[name], f"{name}_{suffix}"

    async def create() -> None:
        admin = await asyncpg.connect(system.addresses.postgres_url)
        await admin.execute(f"DROP DATABASE IF EXISTS {database}")
        await admin.execute(f"CREATE DATABASE {database} OWNER {spec.role}")
        await admin.close()

    asyncio.run(create())
    own = urlsplit(system.addresses.database_url(spec))
    return own._replace(path=f"/{database}").geturl()


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    async def fetch() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(url)
        try:
            return [tuple(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()

    return asyncio.run(fetch())
