"""A conflict between two transactions has an SQLSTATE of its own."""

from chassis.postgres import schema

revision = "0007"
down_revision = "0006"
upgrade = schema.create_v6
