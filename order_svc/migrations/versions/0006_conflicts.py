"""A conflict between two transactions has an SQLSTATE of its own."""

from chassis.postgres import schema

revision = "0006"
down_revision = "0005"
upgrade = schema.create_v6
