"""Orders, products, the timeline and the chassis' tables."""

import sqlalchemy as sa
from alembic import op

from chassis.postgres import schema

revision = "0001"
down_revision = None


def upgrade() -> None:
    schema.create_v1()
    schema.create_states_v1(
        "orders", "order_id", sa.Column("customer_id", sa.Text(), nullable=False)
    )
    op.create_index("orders_customer", "orders", ["customer_id", "order_id"])
    op.create_table(
        "products",
        sa.Column("sku", sa.Text(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("price_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("price_minor >= 0", name="price_is_not_negative"),
    )
    op.create_table(
        "timeline",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("heard", sa.Text(), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
    )
    op.create_index("timeline_order", "timeline", ["order_id", "id"])
