"""The store in Redis.

A unit of work is one script, all or nothing, which compares what was read and writes. With `appendfsync
always` no reply comes before its data are on disk; what the relay reads is therefore durable. Keys are never
expired: a saga's own hash remembers its messages.

A Redis that lost everything looks like a new one. So the data have an epoch, a key that only a
rebuild writes, last: every script checks it first (see rebuild.py).
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Self

from chassis import clock
from chassis.events import dead_letters_of
from chassis.kafka import Cluster
from chassis.message import PendingEffect, Record, skipped_places
from chassis.redis import keys
from chassis.redis.database import RedisDatabase
from chassis.redis.outbox import RedisOutbox
from chassis.redis.rebuild import SETTLE_S, Rebuild
from chassis.redis.rollback import is_rolled_back
from chassis.redis.server import Server
from chassis.redis.tables import Layout
from chassis.redis.types import WRITABLE
from chassis.redis.unit import RedisUnit
from chassis.service import Service
from chassis.store import StoreBacklog

PARKED: Final = """
local parked, messages = redis.call('ZRANGE', KEYS[2], 0, -1), 0
for _, key in ipairs(parked) do messages = messages + redis.call('LLEN', key) end
return {messages, #parked}
"""
REACH: Final = """
local further = {}
for i = 2, #ARGV, 2 do
  if tonumber(redis.call('HGET', KEYS[2], ARGV[i]) or '0') < tonumber(ARGV[i + 1]) then
    further[#further + 1] = i
  end
end
for _, i in ipairs(further) do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
"""


@dataclass(kw_only=True)
class RedisStore(RedisOutbox):
    """Of a service without effects, timers, a journal and idempotency keys."""

    service: Service
    layout: Layout
    cluster: Cluster
    keeps_positions: bool = True
    send_timeout_s: float = SETTLE_S
    is_durable: bool = False
    unread: list[str] = field(default_factory=list)
    """Places of the own topic that could not be read when the data were looked at, or rebuilt."""

    @classmethod
    async def connect(
        cls,
        service: Service,
        layout: Layout,
        database: RedisDatabase,
        cluster: Cluster,
        *,
        keep_days: int = 7,
        send_timeout_s: float = SETTLE_S,
    ) -> Self:
        """`send_timeout_s` is that of its relays, whose last sends a rebuild waits for."""
        if service.effects or service.timers or service.journal:
            raise ValueError(f"{service.name} needs what is not kept in Redis")
        server = Server(database)
        return cls(
            redis=server.client(),
            server=server,
            keys=layout.keys,
            keep_days=keep_days,
            dead_letter_topic=dead_letters_of(service.name),
            service=service,
            layout=layout,
            cluster=cluster,
            send_timeout_s=send_timeout_s,
        )

    async def close(self) -> None:
        await self.resign()
        await self.redis.aclose()

    async def prepare(self, stopping: asyncio.Event) -> None:
        """Take up the epoch of complete data; rebuild them, or wait for whoever does, if they are lost.

        Only a consumer that starts calls this, so its positions and its epoch belong together.
        """
        try:
            self.epoch = await self.call(self._complete_epoch(stopping))
        except Exception as error:
            self.report(f"the state in Redis is not usable: {error}")
            raise
        self.lost = False
        self.report("")

    async def is_new(self) -> bool:
        return False  # `prepare` fills it

    def unreadable(self) -> str:
        """In words, what of the own topic could not be read; "" if all could be."""
        found = ", ".join(self.unread[:3])
        return f"{len(self.unread)} records of its topic can't be read: {found}" if found else ""

    async def _complete_epoch(self, stopping: asyncio.Event) -> str:
        looked_at, self.server.trusted = self.server.trusted, ""
        known = bool(self.epoch)
        while True:
            where = (self.service, self.layout, self.redis, self.cluster)
            rebuild = Rebuild(*where, self.report, self.send_timeout_s, unread=self.unread)
            epoch = await rebuild.complete(stopping, known=known)
            run = self.server.run
            same = (looked_at, self.epoch) == (run, epoch)
            if same or not await is_rolled_back(*where, epoch, self.unread):
                self.server.trusted = run
                return epoch
            known = True

    @asynccontextmanager
    async def begin(self, *, is_retry: bool = False) -> AsyncIterator[RedisUnit]:
        del is_retry  # it reads what Redis has in any case
        if self.lost or not self.epoch:
            raise self.mark_lost()
        yield RedisUnit(self, self.layout, self.epoch)

    async def project(self, records: Sequence[Record]) -> None:
        for fold, some in self.service.projected(records):
            await fold(self, some)

    async def skipped(self) -> frozenset[tuple[str, int, int]]:
        """Whatever the epoch: a rebuild goes by it as well."""
        found = await self.call(self.redis.hgetall(self.keys.skipped), "HGETALL")
        return skipped_places(place.decode() for place in found)

    async def positions(self) -> dict[tuple[str, int], int]:
        stored = await self.read("HGETALL", self.keys.offsets)
        return keys.places_of(dict(zip(stored[::2], stored[1::2], strict=True)))

    async def reached(self, offsets: dict[tuple[str, int], int]) -> None:
        await self.guarded(REACH, [self.keys.offsets], *keys.place_values(offsets))

    async def prune_inbox(self) -> int:
        return 0  # a saga's messages are a part of it

    async def due_effects(
        self, kinds: tuple[str, ...], limit: int, lease_s: float, *, freshest: bool = False
    ) -> list[PendingEffect]:
        raise NotImplementedError("there are no effects in Redis")

    async def postpone(self, effect: PendingEffect, delay_s: float, error: str) -> None:
        raise NotImplementedError("there are no effects in Redis")

    async def shared_row(self, key: str) -> Any | None:
        """A row that sagas share; None if there is none."""
        table = self.layout.shared
        assert table is not None, "its service has no shared rows"
        return table.row_of(await self.read("HMGET", self.layout.shared_key(key), *table.fields))

    async def backlog(self) -> StoreBacklog:
        """Raises TransientError also where Redis would refuse to write: full, read-only, its disk failing."""
        await self.refuse_without_rights()
        await self.call(self.redis.eval(WRITABLE, 0))
        oldest = await self.read("XRANGE", self.keys.outbox, "-", "+", "COUNT", 1)
        age_s = keys.age_s(oldest[0][0], clock.now()) if oldest else 0.0
        messages, parked = await self.guarded(PARKED, [self.keys.parked_keys])
        return StoreBacklog(
            outbox_rows=await self.read("XLEN", self.keys.outbox),
            outbox_oldest_s=age_s,
            outbox_refused=await self.read("HLEN", self.keys.refused),
            parked_messages=messages,
            parked_keys=parked,
        )
