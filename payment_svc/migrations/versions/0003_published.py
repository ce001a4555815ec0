"""Published rows are kept for a time."""

from chassis.postgres import schema

revision = "0003"
down_revision = "0002"
upgrade = schema.create_v3
