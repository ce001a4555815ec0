"""Requests that wait until Kafka has what was decided on their order: one look for all of them."""

import asyncio
from dataclasses import dataclass, field

from chassis import clock
from chassis.postgres import PostgresStore

LOOK_EVERY_S = 0.02
PENDING = "SELECT DISTINCT key FROM outbox WHERE key = ANY($1::text[])"


@dataclass
class Published:
    store: PostgresStore
    _waiting: set[str] = field(default_factory=set)
    _pending: set[str] = field(default_factory=set)
    _looked_at: float = 0.0
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def within(self, order_id: str, seconds: float) -> bool:
        """Whether Kafka has acknowledged all of the order before the time is over."""
        deadline = clock.monotonic() + seconds
        self._waiting.add(order_id)
        try:
            while order_id in await self._still_pending():
                if clock.monotonic() > deadline:
                    return False
                await clock.wait(LOOK_EVERY_S)
        finally:
            self._waiting.discard(order_id)
        return True

    async def _still_pending(self) -> set[str]:
        """By a look that began after it was asked for."""
        asked_at = clock.monotonic()
        async with self._looking:
            if self._looked_at < asked_at:
                self._looked_at = clock.monotonic()
                async with self.store.reading() as connection:
                    rows = await connection.fetch(PENDING, list(self._waiting))
                self._pending = {row[0] for row in rows}
            return self._pending
