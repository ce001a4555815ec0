"""Runs a service's Alembic migrations, one instance at a time, before it starts."""

from functools import partial
from pathlib import Path
from typing import Any

import alembic.command
import psycopg
from alembic import context
from alembic.config import Config
from sqlalchemy import create_engine, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.pool import NullPool

from chassis.errors import CannotStartError
from chassis.postgres.database import PostgresDatabase
from chassis.postgres.migrations import LOCK


def config_of(folder: Path, database: PostgresDatabase) -> Config:
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["database"] = database
    return config


def upgrade(folder: Path, database: PostgresDatabase) -> None:
    """Raises CannotStartError where its role may not change the schema."""
    try:
        alembic.command.upgrade(config_of(folder, database), "head")
    except ProgrammingError as error:
        if not isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
            raise
        why = f"{database.setting or 'DATABASE'}_OWNER_URL: the schema has to be changed first"
        raise CannotStartError(f"{why}, and the role may not: {error.orig}", code=2) from error


def run_environment(metadata: Any) -> None:
    """The whole of each service's env.py."""
    url, password = context.config.attributes["database"].arguments()
    creator = partial(psycopg.connect, url, target_session_attrs="read-write", **password)
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
