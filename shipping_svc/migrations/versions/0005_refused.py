"""Outbox rows that Kafka refuses are set aside; retention knows when the clock was looked at."""

from chassis.postgres import schema

revision = "0005"
down_revision = "0004"
upgrade = schema.create_v5
