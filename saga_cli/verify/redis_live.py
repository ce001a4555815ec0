"""Loyalty's rows in Redis, which has no snapshot: each hash is read as a whole, in small commands.

An order's hash says by its version which events it holds, as a row of a database does. A customer's
does not say it of their orders' events; so it is read together with the outbox, between two ends of
the log: it holds the events before the first and those in the outbox. A customer of whom there are
others between the two ends is read again.
"""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import ValidationError
from redis.asyncio import Redis

from chassis.message import Change, OutboxRow
from chassis.replay import Folded, fold
from chassis.service import Service
from chassis.work import adapter_of
from loyalty_svc import keys
from loyalty_svc.domain import Customer
from saga_cli.log.source import Source, Span
from saga_cli.verify.live import Row, chunks, shared_apart, states_apart
from saga_cli.verify.reading import Ends, ends_of, own_events, pending_events, read
from saga_cli.verify.results import Result, Told, nobody
from shared_events.catalog import topic_of
from shared_events.envelope import Envelope

ALWAYS: Final = datetime.min.replace(tzinfo=UTC)
HASHES: Final = 200
"""So many customers at most are read by one script, and five times as many outbox rows: 1 to 2 ms."""
OUTBOX_ROWS: Final = 5 * HASHES
ROUNDS: Final = 20
CUSTOMERS: Final = """
local found = {}
for n = 2, #KEYS do
  found[n - 1] = redis.call('HMGET', KEYS[n], 'points', 'suspended', 'changes')
end
return {found, redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', ARGV[1])}
"""


@dataclass(slots=True)
class InRedis:
    """All orders' hashes as they were met, and then the outbox."""

    stored: Mapping[str, Row]
    marks: Mapping[str, frozenset[str]]
    pending: list[OutboxRow]
    shared: Mapping[str, Any] = field(default_factory=dict)
    remembers: datetime | None = ALWAYS

    async def rows(self, keys: Collection[str]) -> dict[str, Row]:
        return {key: self.stored[key] for key in keys if key in self.stored}

    async def other_than(self, compared: Collection[str]) -> list[tuple[str, Row]]:
        return [(key, row) for key, row in self.stored.items() if key not in compared]

    async def unheard(self, causes: Mapping[str, Envelope]) -> set[str]:
        return {id_ for id_, e in causes.items() if id_ not in self.marks.get(e.subject, ())}

    def differs(self, row: Row, rebuilt: Change) -> tuple[str, str] | None:
        try:
            state = adapter_of(keys.STATES[row.status]).validate_json(row.detail)
        except (KeyError, ValidationError):
            state = None
        return states_apart(row, state, rebuilt)


@asynccontextmanager
async def in_redis(url: str) -> AsyncIterator[InRedis]:
    async with Redis.from_url(url) as redis:
        stored, marks = {}, {}
        for some in chunks(await _names(redis, keys.order_key("")), HASHES):
            pipe = redis.pipeline(transaction=False)
            for key in some:
                pipe.hgetall(keys.order_key(key))
            for key, found in zip(some, await pipe.execute(), strict=True):
                if b"version" in found:
                    version, status = int(found[b"version"]), found[b"status"].decode()
                    stored[key] = Row(version, status, found[b"detail"])
                    marks[key] = frozenset(n[2:].decode() for n in found if n[:2] == b"m:")
        rows: Any = await redis.xrange(keys.OUTBOX)
        pending = [keys.row_of([part for pair in row.items() for part in pair]) for _, row in rows]
        yield InRedis(stored, marks, pending)


async def compare_customers(
    source: Source, service: Service, url: str, result: Result, told: Told = nobody
) -> None:
    topic = topic_of(service.name)
    async with Redis.from_url(url) as redis:
        customers = Customers(source, service, redis, result)
        ends = await ends_of(source, [topic])
        told(0, sum(ends.values()))
        await customers.read_to(ends, told)
        unsure = {*await _names(redis, keys.customer_key("")), *customers.folded.shared}
        for _ in range(ROUNDS):
            if not unsure:
                return
            await customers.read_to(await ends_of(source, [topic]))
            found, pending = await _customers(redis, sorted(unsure))
            moved = await customers.since(await ends_of(source, [topic]))
            known = {e.id for some in pending.values() for e in some}
            moving = {e.event.customer_id for e in moved if e.id not in known}
            for name in unsure - moving:
                customers.compare(name, found[name], pending[name])
            unsure &= moving
        result.notes.append(f"{len(unsure)} customers changed too often to be compared")


@dataclass
class Customers:
    """What the log says of each customer, up to `reached`."""

    source: Source
    service: Service
    redis: Redis
    result: Result
    folded: Folded = field(default_factory=Folded)
    reached: dict[Any, int] = field(default_factory=dict)

    async def read_to(self, ends: Ends, told: Told = nobody) -> None:
        fold(self.service, await self.since(ends, told), self.folded)
        self.reached |= ends

    async def since(self, ends: Ends, told: Told = nobody) -> list[Envelope]:
        """Events of customers from where it was read to; what else is wrong with them is told once."""
        found: list[Envelope] = []
        for place, end in ends.items():
            if (start := self.reached.get(place, 0)) < end:
                async for batch in read(self.source, place, Span(start, end), told):
                    events = own_events(Result(self.service.name), batch)
                    found += [e for _, e in events if hasattr(e.event, "customer_id")]
        return found

    def compare(self, name: str, live: Customer, pending: list[Envelope]) -> None:
        known = self.folded.shared.get(name, Customer())
        ahead = [e for e in pending if e.id.bytes not in self.folded.seen]
        rebuilt = fold(self.service, ahead, Folded(shared={name: known})).shared[name]
        self.result.rows += 1
        if live != rebuilt:
            self.result.differ(name, "the row differs", *shared_apart(live, rebuilt))


async def _customers(
    redis: Redis, names: list[str]
) -> tuple[dict[str, Customer], dict[str, list[Envelope]]]:
    """Each as it is, and their events that wait in the outbox at that instant."""
    found: dict[str, Customer] = {}
    pending: dict[str, list[Envelope]] = {}
    for some in chunks(names, HASHES):
        places = [keys.OUTBOX, *map(keys.customer_key, some)]
        hashes, rows = await redis.eval(CUSTOMERS, len(places), *places, OUTBOX_ROWS)
        events = pending_events("loyalty.events", (keys.row_of(pairs) for _, pairs in rows))
        about = [e for e in events if hasattr(e.event, "customer_id")]
        for name, values in zip(some, hashes, strict=True):
            points, suspended, changes = (int(value or 0) for value in values)
            customer = Customer(points=points, suspended=bool(suspended), changes=changes)
            found[name] = customer
            pending[name] = [e for e in about if e.event.customer_id == name]
    return found, pending


async def _names(redis: Redis, prefix: str) -> list[str]:
    raw = {name async for name in redis.scan_iter(match=f"{prefix}*", count=1000)}
    return sorted(name.decode().removeprefix(prefix) for name in raw)
