"""Orders that were settled long ago are dropped, a few at a time, so that the database stops growing.

Only an order that waits for nothing is: it is settled, and no edge has it. What is kept of it is where each
service left it, half a kB. An event that comes for it later, a cancellation or a republished one, is added to
that, so that it stands where it should; it is dropped again when it has been quiet for as long.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from chassis import clock
from chassis.postgres import Connection

log = structlog.get_logger()
AT_ONCE: Final = 200
"""So many orders are dropped in one transaction: some 2,000 events."""
REST_S: Final = 60.0
"""When none is left, it looks again after so long."""
DROPPED: Final = """
WITH old AS (
    DELETE FROM orders WHERE id IN (
        SELECT o.id FROM orders AS o WHERE o.quiet_at < $1 ORDER BY o.quiet_at LIMIT $2)
    RETURNING id, began_at, newest_at, placed_at, seen, reached
), kept AS (
    INSERT INTO dropped_orders (id, began_at, newest_at, placed_at, seen, reached) SELECT * FROM old
), events_gone AS (
    DELETE FROM events USING old WHERE events.order_id = old.id
), references_gone AS (
    DELETE FROM order_references USING old WHERE order_references.order_id = old.id
)
SELECT count(*) FROM old
"""


async def drop_settled(connection: Connection, keep: timedelta, at_once: int = AT_ONCE) -> int:
    """Those that have been quiet for so long, the longest first; says how many. All of it or nothing."""
    dropped: int = await connection.fetchval(DROPPED, clock.now() - keep, at_once)
    return dropped


@dataclass
class Dropping:
    """In a session of the reader, between its batches: so that no event of an order is taken meanwhile."""

    keep: timedelta
    _next_at: float = float("-inf")

    async def go_on(self, connection: Connection) -> None:
        """Drop a few, if there may be any."""
        if clock.monotonic() < self._next_at:
            return
        dropped = await drop_settled(connection, self.keep)
        if dropped < AT_ONCE:
            self._next_at = clock.monotonic() + REST_S
        if dropped:
            log.info("orders_dropped", orders=dropped)
