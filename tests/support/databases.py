"""Databases beside a service's own."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from saga_cli.stack.services import Services


def a_new_database(system: Services, name: str, suffix: str) -> str:
    """Empty, and an administrator's."""
    database = f"{name}_{suffix}"

    async def create() -> None:
        admin = await asyncpg.connect(system.addresses.postgres_url)
        await admin.execute(f"DROP DATABASE IF EXISTS {database}")
        await admin.execute(f"CREATE DATABASE {database}")
        await admin.close()

    asyncio.run(create())
    admin = urlsplit(system.addresses.postgres_url)
    return admin._replace(path=f"/{database}").geturl()


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    async def fetch() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(url)
        try:
            return [tuple(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()

    return asyncio.run(fetch())
