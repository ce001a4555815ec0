"""Partitions of what is kept are made and dropped by functions of the tables' owner."""

from chassis.postgres import schema

revision = "0009"
down_revision = "0008"
upgrade = schema.create_v8
