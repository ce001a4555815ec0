"""A conflict between two transactions has an SQLSTATE of its own."""

from alembic import op

from chassis.postgres import schema

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    schema.create_v6(op)
