"""Customers by their pseudonyms, and what was erased."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "customers",
        sa.Column("pseudonym", sa.Text(), primary_key=True),
        sa.Column("customer_id", sa.Text(), nullable=False),
    )
    op.create_index("customers_by_id", "customers", ["customer_id"])
    op.create_table(
        "erasures",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("pseudonym", sa.Text(), nullable=False),
        sa.Column("orders", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
    )
