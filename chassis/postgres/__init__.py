"""The ports on PostgreSQL: one statement that reads, one that writes, and the outbox behind one lock."""

from chassis.postgres.inspection import PostgresInspection
from chassis.postgres.outbox import LOCK, LOCK_CLASS
from chassis.postgres.state_tables import SharedTable, StateTable
from chassis.postgres.store import PostgresStore
from chassis.postgres.types import POISON, TRANSIENT, Connection

__all__ = [
    "LOCK",
    "LOCK_CLASS",
    "POISON",
    "TRANSIENT",
    "Connection",
    "PostgresInspection",
    "PostgresStore",
    "SharedTable",
    "StateTable",
]
