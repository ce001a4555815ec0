"""Postal code and customer are among the delivery details."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    for name in ("postal_code", "customer_id"):
        op.add_column(
            "delivery_details", sa.Column(name, sa.Text(), nullable=False, server_default="")
        )
