"""Pieces that have left the shelf, and those that came back."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    for name in ("shipped", "returned"):
        op.add_column("stock", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
