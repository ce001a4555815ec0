"""Notes on groups of failures."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def _text(name: str, *, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(collation="C"), nullable=False, primary_key=primary_key)


def upgrade() -> None:
    op.create_table(
        "failure_notes",
        _text("failure_group", primary_key=True),
        *map(_text, ("text", "by")),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
