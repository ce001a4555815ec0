"""An effect's attempt has a column of its own."""

from alembic import op

from chassis.postgres import schema

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    schema.create_v7(op)
