"""Outbox rows that Kafka refuses are set aside; retention knows when the clock was looked at."""

from alembic import op

from chassis.postgres import schema

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    schema.create_v5(op)
