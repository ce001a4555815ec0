"""The ports on PostgreSQL, their tables and migrations: one statement reads, and one writes."""

from chassis.postgres import migrations, schema
from chassis.postgres.inspection import PostgresInspection
from chassis.postgres.outbox import LOCK, LOCK_CLASS
from chassis.postgres.state_rows import StateRow
from chassis.postgres.state_tables import SharedTable, StateTable
from chassis.postgres.store import PostgresStore
from chassis.postgres.tables import METADATA
from chassis.postgres.types import POISON, TRANSIENT, Connection
from chassis.postgres.upgrading import run_environment

__all__ = [
    "LOCK",
    "LOCK_CLASS",
    "METADATA",
    "POISON",
    "TRANSIENT",
    "Connection",
    "PostgresInspection",
    "PostgresStore",
    "SharedTable",
    "StateRow",
    "StateTable",
    "migrations",
    "run_environment",
    "schema",
]
