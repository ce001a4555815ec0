"""Orders that are not settled are found without reading the others."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.execute("""
    CREATE INDEX orders_unsettled ON orders (order_id COLLATE "C")
    WHERE status IN ('Pending', 'Cancelling')
    """)
