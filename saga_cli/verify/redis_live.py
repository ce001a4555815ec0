"""Loyalty's rows in Redis, which has no snapshot: each hash is read as a whole, in small commands.

An order's hash says by its version which events it holds, as a row of a database does. A customer's
does not say it of their orders' events; so it is read together with the outbox, between two ends of
the log. It holds the events before the first end, those in the outbox, and of those between the two
ends the ones that were appended before it was read. Where clocks can't tell that, it is read again;
and a difference counts once it was seen three times.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

from redis.asyncio import Redis

from chassis.events import Envelope
from chassis.redis import ProjectedHash, keys
from chassis.replay import Folded, InTurn, fold
from chassis.service import Service
from guarantees.counts import counted
from loyalty_svc.domain import Customer
from loyalty_svc.store import CUSTOMERS, KEYS, LAYOUT
from saga_cli.log.reader import own_events, read_spans
from saga_cli.log.source import LogPartition, Source, Span
from saga_cli.progress import ReadProgress, no_progress
from saga_cli.verify.details import ProjectedComparison, ProjectedHashRows, compare_projected
from saga_cli.verify.live import HASHES, Live, LiveRow, chunks, hashes, shared_apart
from saga_cli.verify.results import ServiceResult, ends_of, pending_events
from shared_events.catalog import CATALOG

ALWAYS: Final = datetime.min.replace(tzinfo=UTC)
OUTBOX_ROWS: Final = 5 * HASHES
"""So many at most are read with as many customers as a script takes."""
LOG: Final = CATALOG.log_of("loyalty")
ROUNDS: Final = 20
LOOKS: Final = 3
SKEW_MS: Final = 100
"""So far the clocks of Redis and of those who publish may be apart."""
LOOK: Final = """
local found = {}
for n = 2, #KEYS do found[n - 1] = redis.call('HMGET', KEYS[n], unpack(ARGV, 2)) end
return {redis.call('TIME'), found, redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', ARGV[1])}
"""


@dataclass(slots=True, kw_only=True)
class InRedis(Live):
    """All orders' hashes as they were met, and of the outbox after that what they hold."""

    stored: Mapping[str, LiveRow]
    marks: Mapping[str, frozenset[str]]

    async def rows(self, keys: Collection[str]) -> dict[str, LiveRow]:
        return {key: self.stored[key] for key in keys if key in self.stored}

    async def other_than(self, compared: Collection[str]) -> list[tuple[str, LiveRow]]:
        return [(key, row) for key, row in self.stored.items() if key not in compared]

    async def missing_causes(self, causes: Mapping[str, Envelope]) -> set[str]:
        return {id_ for id_, e in causes.items() if id_ not in self.marks.get(e.subject, ())}


@asynccontextmanager
async def in_redis(url: str) -> AsyncIterator[InRedis]:
    async with Redis.from_url(url) as redis:
        stored, marks = {}, {}
        async for key, found in hashes(redis, LAYOUT.own_key("")):
            if b"version" in found:
                version, status = int(found[b"version"]), found[b"status"].decode()
                stored[key] = LiveRow(version, status, found[b"detail"].decode())
                marks[key] = frozenset(n[2:].decode() for n in found if n[:2] == b"m:")
        rows: Any = await redis.xrange(KEYS.outbox)
        pending = [keys.row_of([part for pair in row.items() for part in pair]) for _, row in rows]
        held = [
            row
            for row in pending
            for envelope in pending_events(LOG, [row])
            if envelope.subject in stored and envelope.sequence <= stored[envelope.subject].version
        ]
        yield InRedis(held, remembers=ALWAYS, table=LAYOUT.own, stored=stored, marks=marks)


@dataclass(frozen=True, slots=True)
class Look:
    """A customer at an instant of Redis's clock, and their events in the outbox at that instant."""

    at_ms: int
    customer: Customer
    pending: list[Envelope]


MovedEvents: TypeAlias = Mapping[str, Sequence[tuple[int, Envelope]]]
"""By customer, the events of a part of the log and when they were appended."""


async def compare_customers(
    source: Source, service: Service, url: str, result: ServiceResult, progress: ReadProgress
) -> None:
    async with Redis.from_url(url) as redis:
        customers = CustomerComparison(source, service, result)
        customers.add(await customers.read_on(progress))
        prefix = LAYOUT.shared_key("")
        names = {n async for n in redis.scan_iter(match=f"{prefix}*", count=1000)}
        unsure = {n.decode().removeprefix(prefix) for n in names} | customers.folded.shared.keys()
        for _ in range(ROUNDS):
            if not unsure:
                return
            looks = await _looks(redis, sorted(unsure))
            moved = await customers.read_on()
            unsure -= {name for name, look in looks.items() if customers.compare(name, look, moved)}
            customers.add(moved)
        result.notes.append(f"{counted(len(unsure), 'customer')} changed too often to be compared")


async def compare_hashes(
    source: Source, service: Service, url: str, result: ServiceResult, progress: ReadProgress
) -> None:
    """What is projected into Redis."""
    async with Redis.from_url(url) as redis:
        for topic, projected in service.projections.items():
            assert isinstance(projected, ProjectedHash), "where there is no database"
            rows = ProjectedHashRows(projected, redis)
            live = ProjectedComparison(projected, rows, await rows.consumed(), result)
            await compare_projected(source, topic, live, progress)


@dataclass
class CustomerComparison:
    """What the log says of each customer, up to `reached`; `doubts` are not confirmed yet.

    `waiting` says when events were appended whose predecessor is in another topic, further on.
    """

    source: Source
    service: Service
    result: ServiceResult
    folded: Folded = field(default_factory=Folded)
    reached: dict[LogPartition, int] = field(default_factory=dict)
    doubts: dict[str, list[tuple[int, bool]]] = field(default_factory=dict)
    turns: InTurn = field(default_factory=InTurn)
    waiting: dict[UUID, int] = field(default_factory=dict)

    async def read_on(self, progress: ReadProgress = no_progress) -> MovedEvents:
        """To what is the end now."""
        ends = await ends_of(self.source, LOG)
        progress(0, sum(ends.values()))
        left = {place: Span(self.reached.get(place, 0), end) for place, end in ends.items()}
        found: dict[str, list[tuple[int, Envelope]]] = {}
        async for batch in read_spans(self.source, left, progress):
            own = list(own_events(self.service.name, batch, _reported_with_the_orders))
            appended = {envelope.id: record.timestamp_ms for record, envelope in own}
            for envelope in self.turns.take(envelope for _, envelope in own):
                at_ms = self.waiting.pop(envelope.id, 0) or appended[envelope.id]
                if name := getattr(envelope.event, "customer_id", ""):
                    found.setdefault(name, []).append((at_ms, envelope))
            self.waiting |= {e.id: appended[e.id] for _, e in own if self.turns.waits(e)}
        self.reached |= ends
        return found

    def add(self, moved: MovedEvents) -> None:
        for events in moved.values():
            published = (envelope for _, envelope in events)
            fold(self.service, published, self.folded, _reported_with_the_orders)

    def compare(self, name: str, look: Look, moved: MovedEvents) -> bool:
        """Compare; False if it can't be decided yet whether they differ."""
        waited = {envelope.id for envelope in look.pending}
        between = [(at, e) for at, e in moved.get(name, ()) if e.id not in waited]
        if any(abs(at - look.at_ms) <= SKEW_MS for at, _ in between):
            return False
        held = [e for at, e in between if at < look.at_ms] + look.pending
        ahead = [envelope for envelope in held if envelope.id.bytes not in self.folded.seen]
        onto = Folded(shared={name: self.folded.shared.get(name, Customer())})
        rebuilt = fold(self.service, ahead, onto, _reported_with_the_orders).shared[name]
        live = look.customer
        if live != rebuilt:
            apart = (live.points - rebuilt.points, live.suspended is rebuilt.suspended)
            before = self.doubts.get(name, [])
            self.doubts[name] = [apart, *(doubt for doubt in before if doubt == apart)]
            if len(self.doubts[name]) < LOOKS:
                return False
            self.result.differ(name, "the row differs", *shared_apart(live, rebuilt))
        self.result.rows += 1
        return True


async def _looks(redis: Redis, names: list[str]) -> dict[str, Look]:
    found: dict[str, Look] = {}
    for some in chunks(names, HASHES):
        places = [KEYS.outbox, *map(LAYOUT.shared_key, some)]
        asked = (*places, str(OUTBOX_ROWS), *CUSTOMERS.fields)
        now, customers, rows = await redis.eval(LOOK, len(places), *asked)
        if len(rows) == OUTBOX_ROWS:
            continue  # there may be more that wait
        at_ms = int(now[0]) * 1000 + int(now[1]) // 1000
        waiting: dict[str, list[Envelope]] = {}
        for envelope in pending_events(LOG, (keys.row_of(pairs) for _, pairs in rows)):
            waiting.setdefault(getattr(envelope.event, "customer_id", ""), []).append(envelope)
        for name, values in zip(some, customers, strict=True):
            customer = CUSTOMERS.row_of(values) or Customer()
            found[name] = Look(at_ms, customer, waiting.get(name, []))
    return found


def _reported_with_the_orders(*_of_an_event: object) -> None:
    """The comparison of orders says which events make no sense, or can't be read."""
