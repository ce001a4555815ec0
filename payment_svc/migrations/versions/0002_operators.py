"""What operators did, and how long effects and dead letters wait."""

from alembic import op

from chassis.postgres import schema

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    schema.create_v2(op)
