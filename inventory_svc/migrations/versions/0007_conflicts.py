"""A conflict between two transactions has an SQLSTATE of its own."""

from alembic import op

from chassis.postgres import schema

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    schema.create_v6(op)
