"""The inbox and the answers to requests are forgotten by their age."""

from chassis.postgres import schema

revision = "0004"
down_revision = "0003"
upgrade = schema.create_v4
