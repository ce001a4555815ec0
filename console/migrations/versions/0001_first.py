"""All tables of the first release."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None


def _text(name: str, **options: Any) -> sa.Column[str]:
    return sa.Column(name, sa.Text(collation="C"), nullable=False, **options)


def _instant(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    _orders()
    op.create_table(
        "waits",
        _text("edge", primary_key=True),
        _text("order_id", primary_key=True),
        _instant("since"),
    )
    op.create_index("waits_since", "waits", ["edge", "since"])
    _events()
    op.create_table(
        "order_references",
        _text("reference", primary_key=True),
        _text("order_id", primary_key=True),
        _text("name"),
    )
    op.create_table(
        "read_offsets",
        _text("topic", primary_key=True),
        sa.Column("partition", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("next", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "read_generation",
        sa.Column("generation", sa.BigInteger(), primary_key=True, autoincrement=False),
    )
    op.execute("INSERT INTO read_generation VALUES (1)")
    op.create_table(
        "operator_actions",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        *map(_text, ("by", "action", "detail", "note")),
    )


def _orders() -> None:
    op.create_table(
        "orders",
        _text("id", primary_key=True),
        *map(_text, ("state", "step", "edges")),
        *map(_instant, ("began_at", "newest_at")),
        *(_instant(name, nullable=True) for name in ("placed_at", "settled_at", "quiet_at")),
        _text("customer"),
        sa.Column("total_minor", sa.BigInteger(), nullable=True),
        *map(_text, ("currency", "trace_id", "reason", "refused_by")),
        sa.Column("reason_rank", sa.SmallInteger(), nullable=True),
        _instant("reason_at", nullable=True),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.Column("reached", postgresql.JSONB(), nullable=False),
    )
    order = ["began_at", "id"]
    for name, columns, where in (
        ("newest", order, None),
        ("state", ["state", *order], None),
        ("customer", ["customer", *order], None),
        ("reason", ["reason", *order], "reason <> ''"),
        ("step", ["step", *order], "step <> ''"),
        ("in_flight", order, "settled_at IS NULL"),
        ("moving", order, "quiet_at IS NULL"),
        ("trace", ["trace_id"], "trace_id <> ''"),
    ):
        only = sa.text(where) if where else None
        op.create_index(f"orders_{name}", "orders", columns, postgresql_where=only)
    op.create_index(
        "orders_lived",
        "orders",
        [sa.text("tstzrange(began_at, quiet_at, '[]'::text)")],
        postgresql_using="gist",
        postgresql_where=sa.text("quiet_at IS NOT NULL"),
    )


def _events() -> None:
    op.create_table(
        "events",
        _text("order_id", primary_key=True),
        _text("service", primary_key=True),
        sa.Column("sequence", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("id", postgresql.UUID(as_uuid=True), nullable=False),
        _text("type"),
        _instant("time"),
        *map(_text, ("causation_id", "causation_type", "topic")),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        _text("trace_id"),
        sa.Column("payload", sa.Text(), nullable=False),
    )
    op.create_index("events_position", "events", ["position"], unique=True)
    op.create_index("events_id", "events", ["id"], postgresql_using="hash")
