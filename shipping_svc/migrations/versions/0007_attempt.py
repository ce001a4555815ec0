"""An effect's attempt has a column of its own."""

from chassis.postgres import schema

revision = "0007"
down_revision = "0006"
upgrade = schema.create_v7
