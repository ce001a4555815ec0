"""An order's delivery details are gone from its topic, from shipping, and from what is kept."""

from typing import Final

from saga_cli.clients import database
from shared_events.catalog import DELIVERY_DETAILS

STATEMENTS: Final = (
    "DELETE FROM outbox WHERE topic = $1 AND key = $2",  # first: what a relay moves is kept then
    "DELETE FROM published WHERE topic = $1 AND key = $2",
    "INSERT INTO outbox (shard, topic, key, headers) VALUES (0, $1, $2, '[]')",
)
"""The last is a tombstone: on its way to Kafka like any row, and to shipping from there."""


async def erased(url: str, order_id: str) -> bool:
    """False for an order that is not known; `url` is of the order service's database."""
    async with database(url) as connection, connection.transaction():
        if not await connection.fetchval("SELECT 1 FROM orders WHERE order_id = $1", order_id):
            return False
        for statement in STATEMENTS:
            await connection.execute(statement, DELIVERY_DETAILS, order_id)
    return True
