"""Shipments, delivery details and the chassis' tables."""

import sqlalchemy as sa
from alembic import op

from chassis.postgres import schema

revision = "0001"
down_revision = None


def upgrade() -> None:
    schema.create_v1()
    schema.create_states_v1("shipments", "order_id")
    op.create_table(
        "delivery_details",
        sa.Column("order_id", sa.Text(), primary_key=True),
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("name", "street", "city", "email")
        ),
    )
