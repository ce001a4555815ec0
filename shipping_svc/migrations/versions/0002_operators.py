"""What operators did, and how long effects and dead letters wait."""

from chassis.postgres import schema

revision = "0002"
down_revision = "0001"
upgrade = schema.create_v2
