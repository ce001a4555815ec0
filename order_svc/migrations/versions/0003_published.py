"""Published rows are kept for a time."""

from alembic import op

from chassis.postgres import schema

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    schema.create_v3(op)
