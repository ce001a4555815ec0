"""What is for sale, served from Redis. The database decides; the cache only answers questions."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

import structlog
from redis.asyncio import Redis

from chassis import clock
from chassis.bus import Committed
from chassis.postgres import PostgresStore
from chassis.redis import AWAY, RedisDatabase, condemns, reconnect
from inventory_svc.manifest import MANIFEST

log = structlog.get_logger()
FRESH_S = 10  # what another instance overwrote with an older figure is forgotten by then
RETRY_MAX_S = 2.0
PAUSE_S = 0.05
PROBE_S = 2.0
PROBE: Final = {"": 0}
"""Written when nothing else is, to know whether the cache takes it; no SKU is empty."""


@dataclass
class Availability:
    store: PostgresStore
    redis: Redis
    cache: RedisDatabase
    failing: str = ""
    """Why the cache could not be written to the last time, "" if it could."""
    _changed_to: dict[str, int] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def committed(self, event: Committed) -> None:
        if changes := event.result.shared_changes:
            self._changed_to |= {sku: level.available for sku, level in changes.items()}
            self._changed.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Refresh what changed, after its commit; a cache that is away is refreshed later."""
        failures, probed_at = 0, clock.monotonic()
        while not stopping.is_set():
            changed = await clock.wait_for(self._changed, 0.5)
            if not changed and clock.monotonic() < probed_at + PROBE_S:
                continue
            self._changed.clear()
            probed_at = clock.monotonic()
            levels, self._changed_to = self._changed_to, {}
            try:
                await self._keep(levels or PROBE)
            except AWAY as error:
                failures, self.failing = failures + 1, self.cache.explained(error) or repr(error)
                log.warning("availability_stale", skus=len(levels), error=self.failing)
                self._changed_to = levels | self._changed_to
                self._changed.set()
                if condemns(error):
                    await reconnect(self.redis)
                pause_s = clock.backoff_s(failures, base_s=0.5, max_s=RETRY_MAX_S)
                await clock.wait_for(stopping, pause_s)
            else:
                failures, self.failing = 0, ""
                await clock.wait_for(stopping, PAUSE_S)

    async def of(self, skus: list[str]) -> dict[str, int]:
        """Available pieces by SKU; an unknown SKU is missing from the answer."""
        try:
            cached = await self.redis.mget([key_of(sku) for sku in skus])
        except AWAY as error:
            log.warning("availability_uncached", error=repr(error))
            return await self._read(skus)
        found = {s: int(n) for s, n in zip(skus, cached, strict=True) if n is not None}
        missed = [sku for sku in skus if sku not in found]
        return found | (await self._filled(missed) if missed else {})

    async def _filled(self, skus: list[str]) -> dict[str, int]:
        levels = await self._read(skus)
        try:
            await self._keep(levels)
        except AWAY as error:  # such as one that is full: the answer is known
            log.warning("availability_uncached", error=repr(error))
        return levels

    async def _keep(self, levels: dict[str, int]) -> None:
        if levels:
            async with self.redis.pipeline(transaction=False) as pipe:
                for sku, available in levels.items():
                    pipe.set(key_of(sku), available, ex=FRESH_S)
                await pipe.execute()

    async def _read(self, skus: list[str]) -> dict[str, int]:
        query = "SELECT sku, available FROM stock WHERE sku = ANY($1::text[])"
        async with self.store.reading() as connection:
            return dict(await connection.fetch(query, skus))


def key_of(sku: str) -> str:
    return f"{MANIFEST.redis_keys}{sku}"
