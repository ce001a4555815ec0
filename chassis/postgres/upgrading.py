"""Runs a service's Alembic migrations, one instance at a time, before it starts."""

from functools import partial
from pathlib import Path
from typing import Any, Final

import alembic.command
import psycopg
from alembic import context
from alembic.config import Config
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

LOCK: Final = 0x5A6B


def config_of(folder: Path, url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["url"] = url
    return config


def upgrade(folder: Path, url: str) -> None:
    alembic.command.upgrade(config_of(folder, url), "head")


def run_environment(metadata: Any) -> None:
    """The whole of each service's env.py."""
    url = context.config.attributes["url"]  # libpq's form, which may name several hosts
    creator = partial(psycopg.connect, url, target_session_attrs="read-write")
    engine = create_engine("postgresql+psycopg://", creator=creator, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        context.configure(
            connection=connection, target_metadata=metadata, include_name=_is_declared
        )
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


def _is_declared(name: str | None, kind: str, _parents: Any) -> bool:
    """The partitions of what is kept are made day by day, by chassis/postgres/retention.py."""
    return not (kind == "table" and str(name).startswith("published_"))
