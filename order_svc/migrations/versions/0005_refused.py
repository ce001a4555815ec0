"""Outbox rows that Kafka refuses are set aside; retention knows when the clock was looked at.

Orders are listed in the order of their ids' bytes, whatever locale the database sorts text by.
"""

import sqlalchemy as sa
from alembic import op

from chassis.postgres import schema

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    schema.create_v5()
    by_bytes = sa.text('order_id COLLATE "C"')
    op.create_index("orders_by_id", "orders", [by_bytes])
    op.create_index("orders_customer_by_id", "orders", ["customer_id", by_bytes])
