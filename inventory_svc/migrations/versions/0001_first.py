"""Reservations, stock and the chassis' tables."""

import sqlalchemy as sa
from alembic import op

from chassis.postgres import schema

revision = "0001"
down_revision = None


def upgrade() -> None:
    schema.create_v1()
    schema.create_states_v1("reservations", "order_id")
    op.create_table(
        "stock",
        sa.Column("sku", sa.Text(), primary_key=True),
        sa.Column("available", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.Column("committed", sa.BigInteger(), nullable=False),
        sa.Column("receipts", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("available >= 0", name="never_oversold"),
        sa.CheckConstraint("reserved >= 0 AND committed >= 0", name="never_released_twice"),
    )
    op.execute("ALTER TABLE stock SET (fillfactor = 50)")
