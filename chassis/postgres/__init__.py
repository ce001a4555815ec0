"""The ports on PostgreSQL, their tables and migrations: one statement reads, and one writes.

Modules in `__all__` that name tables are not loaded with the package: a running process needs no SQLAlchemy.
"""

from chassis.postgres.database import PostgresDatabase
from chassis.postgres.inspection import PostgresInspection
from chassis.postgres.outbox import LOCK, LOCK_CLASS
from chassis.postgres.projected import ProjectedTable
from chassis.postgres.state_tables import SharedTable, StateTable
from chassis.postgres.store import PostgresStore
from chassis.postgres.types import POISON, TRANSIENT, Connection

__all__ = [
    "LOCK",
    "LOCK_CLASS",
    "POISON",
    "TRANSIENT",
    "Connection",
    "PostgresDatabase",
    "PostgresInspection",
    "PostgresStore",
    "ProjectedTable",
    "SharedTable",
    "StateTable",
    "migrations",
    "schema",
    "state_rows",
    "tables",
    "upgrading",
]
