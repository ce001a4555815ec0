"""Orders that are dropped, and by what they are found."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"


def _instant(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "dropped_orders",
        sa.Column("id", sa.Text(collation="C"), primary_key=True),
        *map(_instant, ("began_at", "newest_at")),
        _instant("placed_at", nullable=True),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.Column("reached", postgresql.JSONB(), nullable=False),
    )
    quiet = sa.text("quiet_at IS NOT NULL")
    op.create_index("orders_quiet", "orders", ["quiet_at"], postgresql_where=quiet)
    op.create_index("order_references_order", "order_references", ["order_id"])
