"""Runs a service's Alembic migrations, one instance at a time, before it starts."""

import asyncio
from pathlib import Path
from typing import Any

import alembic.command
from alembic import context
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

LOCK = 0x5A6B


def config_of(folder: Path, url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["url"] = url.replace("postgresql://", "postgresql+asyncpg://")
    return config


async def migrate(folder: Path, url: str) -> None:
    await asyncio.to_thread(alembic.command.upgrade, config_of(folder, url), "head")


def run_environment(metadata: Any) -> None:
    """The whole of each service's env.py."""
    asyncio.run(_run(context.config.attributes["url"], metadata))


async def _run(url: str, metadata: Any) -> None:
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        await connection.run_sync(_migrate_on, metadata)
    await engine.dispose()


def _migrate_on(connection: Connection, metadata: Any) -> None:
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()
