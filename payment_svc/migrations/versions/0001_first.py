"""Payments and the chassis' tables."""

from chassis.postgres import schema

revision = "0001"
down_revision = None


def upgrade() -> None:
    schema.create_v1()
    schema.create_states_v1("payments", "order_id")
