"""Partitions of what is kept are made and dropped by functions of the tables' owner."""

from chassis.postgres import schema

revision = "0008"
down_revision = "0007"
upgrade = schema.create_v8
