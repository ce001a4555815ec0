"""saga erase: an order's delivery details are gone from its topic, from shipping, and from what is kept."""

import asyncio
from typing import Annotated, Final

import typer

from saga_cli.targets import found
from saga_cli.terminal import console, fail, message_of, plain
from shared_events.catalog import DELIVERY_DETAILS

STATEMENTS: Final = (
    "DELETE FROM outbox WHERE topic = $1 AND key = $2",  # first: what a relay moves is kept then
    "DELETE FROM published WHERE topic = $1 AND key = $2",
    "INSERT INTO outbox (shard, topic, key, headers) VALUES (0, $1, $2, '[]')",
)
"""The last is a tombstone: on its way to Kafka like any row, and to shipping from there."""


def erase(order_id: Annotated[str, typer.Argument(help="An order's id.")]) -> None:
    """Erase an order's name and address wherever they are; what the order came to stays."""
    import asyncpg  # noqa: PLC0415 - only some commands need a database

    url = found().store_of("order")
    try:
        known = asyncio.run(_erased(url, order_id))
    except (asyncpg.PostgresError, OSError, TimeoutError) as error:
        fail(message_of(error))
    if not known:
        fail(f"there is no order {plain(order_id)}", 1)
    console.print(f"The delivery details of {plain(order_id)} are erased.", markup=False)


async def _erased(url: str, order_id: str) -> bool:
    import asyncpg  # noqa: PLC0415 - see above

    connection = await asyncpg.connect(url, timeout=10)
    try:
        async with connection.transaction():
            if not await connection.fetchval("SELECT 1 FROM orders WHERE order_id = $1", order_id):
                return False
            for statement in STATEMENTS:
                await connection.execute(statement, DELIVERY_DETAILS, order_id)
    finally:
        await connection.close()
    return True
