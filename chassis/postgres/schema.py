"""The chassis' tables as migrations of the services create them, by version; never edited, only added to."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

TUNED = "autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000"


def create_v1() -> None:
    now = sa.func.now()
    instant = sa.DateTime(timezone=True)
    op.create_table(
        "inbox",
        sa.Column("message_id", sa.UUID(), primary_key=True),
        sa.Column("seen_at", instant, nullable=False, server_default=now),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.LargeBinary()),
        sa.Column("headers", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", instant, nullable=False, server_default=now),
    )
    op.create_index("outbox_shard_id", "outbox", ["shard", "id"])
    op.create_table(
        "effects",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("traceparent", sa.Text(), nullable=False),
        sa.Column("tries", sa.SmallInteger(), nullable=False, server_default="0"),
        sa.Column("last_error", sa.Text(), nullable=False, server_default=""),
        sa.Column("due_at", instant, nullable=False, server_default=now),
    )
    op.create_index("ix_effects_due_at", "effects", ["due_at"])
    op.create_table(
        "parked",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.BigInteger(), nullable=False),
        sa.Column("record_offset", sa.BigInteger(), nullable=False),
        sa.Column("record_key", sa.LargeBinary()),
        sa.Column("value", sa.LargeBinary()),
        sa.Column("headers", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("parked_at", instant, nullable=False, server_default=now),
    )
    op.create_index("parked_key_id", "parked", ["key", "id"])
    op.create_index("parked_origin", "parked", ["topic", "partition", "record_offset"], unique=True)
    op.create_table(
        "idempotency_keys",
        sa.Column("scope", sa.Text(), primary_key=True),
        sa.Column("key", sa.Text(), primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("response", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", instant, nullable=False, server_default=now),
    )
    for table in ("outbox", "effects"):
        op.execute(f"ALTER TABLE {table} SET ({TUNED})")


def create_states_v1(table: str, key: str, *columns: sa.Column[Any]) -> None:
    """One row a saga; half-filled pages leave room for updates in place (HOT)."""
    op.create_table(
        table,
        sa.Column(key, sa.Text(), primary_key=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("detail", JSONB(), nullable=False),
        *columns,
    )
    op.execute(f"ALTER TABLE {table} SET (fillfactor = 60)")


def create_v2() -> None:
    """How long an effect is owed, how often a dead letter was tried, and what operators did."""
    now, instant = sa.func.now(), sa.DateTime(timezone=True)
    op.add_column("effects", sa.Column("owed_since", instant, nullable=False, server_default=now))
    for column in (
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("last_reason", sa.Text(), nullable=False, server_default=""),
        sa.Column("last_tried_at", instant, nullable=False, server_default=now),
    ):
        op.add_column("parked", column)
    op.create_table(
        "operator_actions",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("at", instant, nullable=False, server_default=now),
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("by", "action", "key", "note", "detail")
        ),
    )
    op.create_index("operator_actions_key", "operator_actions", ["key", "id"])
    op.create_index("effects_key", "effects", ["key"])
    op.create_index("effects_kind_due_at", "effects", ["kind", "due_at"])  # timers are many
    op.create_index("outbox_key", "outbox", ["key"])


def create_v3() -> None:
    """What Kafka has acknowledged is kept for a time, a partition a day (chassis/postgres/retention.py)."""
    op.create_table(
        "published",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.LargeBinary()),
        sa.Column("headers", sa.LargeBinary(), nullable=False),
        sa.Column(
            "published_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.func.now(),
        ),
        postgresql_partition_by="RANGE (published_at)",
    )
    op.execute("CREATE TABLE published_default PARTITION OF published DEFAULT")


def create_v4() -> None:
    """When a message was decided, or a request answered, to delete by it the old ones."""
    op.create_index("inbox_seen_at", "inbox", ["seen_at"])
    op.create_index("idempotency_keys_created_at", "idempotency_keys", ["created_at"])


def create_v5() -> None:
    """Rows that Kafka refuses for good are set aside; when the database's clock was looked at."""
    op.add_column("outbox", sa.Column("refused", sa.Text()))
    op.add_column("outbox", sa.Column("refused_at", sa.DateTime(timezone=True)))
    op.create_index(
        "outbox_refused", "outbox", ["key"], postgresql_where=sa.text("refused IS NOT NULL")
    )
    op.create_table(
        "clock_marks",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("doubted_at", sa.DateTime(timezone=True)),
    )


def create_v6() -> None:
    """How a statement fails where another transaction was faster: with SQLSTATE 40001."""
    op.execute("""
CREATE FUNCTION require_row_counts(written bigint[], required bigint[]) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    IF written IS DISTINCT FROM required THEN
        RAISE EXCEPTION 'another transaction was first to write these rows'
            USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN true;
END $$
""")


def create_v7() -> None:
    """An effect's attempt has a column of its own; null where the release before has written the row."""
    op.add_column("effects", sa.Column("attempt", sa.SmallInteger()))


def create_v8() -> None:
    """The partitions of what is kept, made and dropped by whoever may not change the schema."""
    op.execute("""
CREATE FUNCTION make_published_partition(day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    part text := 'published_' || to_char(day, 'YYYYMMDD');
    begins timestamptz := day::timestamp AT TIME ZONE 'UTC';
    ends timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF day > (now() AT TIME ZONE 'UTC')::date + 1 THEN
        RAISE EXCEPTION '% is too early for a partition', day USING ERRCODE = 'invalid_parameter_value';
    END IF;
    LOCK TABLE published_default IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('CREATE TABLE %I (LIKE published INCLUDING DEFAULTS)', part);
    EXECUTE format(
        'WITH moved AS (DELETE FROM published_default WHERE published_at >= %L AND published_at < %L '
        'RETURNING *) INSERT INTO %I SELECT * FROM moved', begins, ends, part
    );
    EXECUTE format(
        'ALTER TABLE published ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', part, begins, ends
    );
END $$
""")
    op.execute("""
CREATE FUNCTION drop_published_partition(day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF day >= (now() AT TIME ZONE 'UTC')::date THEN
        RAISE EXCEPTION '% is not over', day USING ERRCODE = 'invalid_parameter_value';
    END IF;
    EXECUTE format('DROP TABLE %I', 'published_' || to_char(day, 'YYYYMMDD'));
END $$
""")
