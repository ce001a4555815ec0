"""Payments and the chassis' tables."""

from alembic import op

from chassis.postgres import schema

revision = "0001"
down_revision = None


def upgrade() -> None:
    schema.create_v1(op)
    schema.create_states_v1(op, "payments", "order_id")
