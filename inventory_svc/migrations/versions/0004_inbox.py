"""The inbox and the answers to requests are forgotten by their age."""

from alembic import op

from chassis.postgres import schema

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    schema.create_v4(op)
