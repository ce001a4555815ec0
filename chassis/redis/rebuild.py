"""A Redis without its data is filled again from what the service has published.

One instance at a time does it, the holder of a lock with a lease; each write checks the lock, so
one that was paused for too long can't meddle with its successor. The epoch is written last: a
rebuild that dies half-way leaves data that nobody uses, and the next one begins by removing them.

The input offsets begin at 0 again. A message that led to an event is recognised by its id; one that
led to nothing leads to nothing in the state that followed; one whose event never left for Kafka is
decided anew. Lost for good are the dead letters, which park again when they are read again, and a
standing that was set in the instant before its event was published.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, Final, Protocol
from uuid import UUID

import structlog
from redis.asyncio import Redis

from chassis import clock, crashpoints, ids
from chassis.dead_letters import name_of_place
from chassis.errors import TransientError
from chassis.events import Envelope
from chassis.kafka import Cluster, own_events, reading
from chassis.outbox import Sender
from chassis.redis import keys
from chassis.redis.tables import STATE_FIELDS, Layout
from chassis.replay import Folded, InTurn, fold
from chassis.service import Service

log = structlog.get_logger()
LEASE_MS: Final = 10_000
CHUNK: Final = 100
REPORT_EVERY_S: Final = 2.0
SETTLE_S: Final = Sender.send_timeout_s
"""So long may a relay still be sending what it has read from the Redis that is gone."""

ENTER: Final = """
local epoch = redis.call('GET', KEYS[1])
if epoch then return {'COMPLETE', epoch} end
if redis.call('EXISTS', KEYS[3]) == 0 and redis.call('EXISTS', KEYS[4]) == 1 then
  redis.call('SET', KEYS[1], ARGV[1])  -- data of release 0.1, which kept no epoch
  return {'COMPLETE', ARGV[1]}
end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then
  redis.call('SET', KEYS[3], ARGV[1])
  return {'YOURS', ARGV[1]}
end
return {'OTHERS', ''}
"""
HELD: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'LOST' end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
RENEW: Final = "return 'DONE'"
REMOVE: Final = "redis.call('DEL', unpack(KEYS, 2)) return 'DONE'"
FILL: Final = """
for hash = 2, #KEYS do redis.call('HLEN', KEYS[hash]) end
local at = 3
for hash = 2, #KEYS do
  redis.call('HSET', KEYS[hash], unpack(ARGV, at + 1, at + ARGV[at]))
  at = at + 1 + ARGV[at]
end
return 'DONE'
"""
FINISH: Final = """
redis.call('HLEN', KEYS[4])
redis.call('SET', KEYS[2], ARGV[1])
redis.call('DEL', KEYS[1], KEYS[3])
if #ARGV > 2 then redis.call('HSET', KEYS[4], unpack(ARGV, 3)) end
return 'DONE'
"""
RELEASE: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class Published(Protocol):
    """What the service has published, to be read on and on; `read` and `end` count records."""

    @property
    def starts(self) -> Mapping[Any, int]:
        """The first offset of each partition."""

    @property
    def reached(self) -> Mapping[Any, int]:
        """The next one to read."""

    @property
    def read(self) -> int: ...

    @property
    def end(self) -> int: ...

    def to_end(self) -> AsyncIterator[list[Any]]:
        """Go on to what is the end now, in batches; within a partition in order."""


@dataclass
class Rebuild:
    """`report` gets how far it is, in words for a person; `opened` reads another log than Kafka's.

    Without `to_the_end` that log is read up to a point: events whose predecessor is beyond it are left
    out.
    """

    service: Service
    layout: Layout
    redis: Redis
    cluster: Cluster
    report: Callable[[str], None]
    settle_s: float = SETTLE_S
    opened: Callable[[], AbstractAsyncContextManager[Published]] | None = None
    to_the_end: bool = True
    token: str = field(default_factory=ids.new_id)
    folded: Folded = field(default_factory=Folded)
    unread: list[str] = field(default_factory=list)
    """Places of records that may be the service's own and can't be read, or followed."""
    reported_at: float = field(default_factory=clock.monotonic)

    async def complete(self, stopping: asyncio.Event, *, known: bool) -> str:
        """The epoch of complete data. `known` data were there before, so their relays may send still.

        Raises TransientError when Kafka or Redis is away, or another took the rebuild over.
        """
        waited = False
        while True:
            names = self.layout.keys
            places = (names.epoch, names.rebuild_lock, names.rebuild_begun, names.offsets)
            status, epoch = await self.redis.eval(ENTER, 4, *places, self.token, LEASE_MS)
            if status == b"COMPLETE":
                return str(epoch.decode())
            if status == b"YOURS":
                return await self._rebuild(stopping, known=known)
            if not waited:
                waited = True
                self.report("Redis has lost its data; another instance rebuilds them")
                log.warning("rebuild_awaited")
            if await clock.wait_for(stopping, 0.3):
                raise TransientError("stopped while another instance rebuilds the state")

    async def _rebuild(self, stopping: asyncio.Event, *, known: bool) -> str:
        started = clock.monotonic()
        self.report("Redis has no data; they are rebuilt from the log")
        log.warning("rebuild_started", topics=self.service.log_topics)
        try:
            reached = await self._read(stopping, started, known=known)
            await self._remove_remains()
            await self._fill(self.folded)
            names = self.layout.keys
            places = [names.epoch, names.rebuild_begun, names.checked]
            await self._held(FINISH, places, *reached)
        finally:
            await self.redis.eval(RELEASE, 1, self.layout.keys.rebuild_lock, self.token)
        log.warning(
            "rebuild_finished",
            events=len(self.folded.seen),
            sagas=len(self.folded.own),
            shared_rows=len(self.folded.shared),
            unreadable=len(self.unread),
            seconds=round(clock.monotonic() - started, 1),
        )
        return self.token

    async def _read(self, stopping: asyncio.Event, started: float, *, known: bool) -> list[Any]:
        self.folded, turns = Folded(), InTurn()
        self.unread.clear()
        places: dict[UUID, str] = {}
        kept = partial(reading, self.cluster, self.service.log_topics)
        async with (self.opened or kept)() as topics:
            if cut := [place for place, start in topics.starts.items() if start > 0]:
                raise TransientError(f"the log has lost its beginning: {sorted(cut)}")
            while True:
                async for records in topics.to_end():
                    self._take(records, turns, places)
                    await self._goes_on(stopping, topics)
                first_start = topics.end == 0 and not known
                if first_start or clock.monotonic() - started > self.settle_s:
                    if self.to_the_end:
                        await self._over_holes(turns, places)
                    return keys.place_values(topics.reached)
                await clock.wait(0.2)
                await self._goes_on(stopping, topics)

    def _take(self, records: Iterable[Any], turns: InTurn, places: dict[UUID, str]) -> None:
        """Fold those whose turn it is; `places` are those of the events that wait for theirs."""
        note = keys.noting(self.unread)
        own = list(own_events(self.service.catalog, self.service.name, records, note))
        in_turn = list(turns.take(envelope for _, envelope in own))
        self._fold(in_turn)
        for envelope in in_turn:
            places.pop(envelope.id, None)
        places |= {e.id: name_of_place(record) for record, e in own if turns.waits(e)}

    def _fold(self, envelopes: Iterable[Envelope]) -> None:
        fold(self.service, envelopes, self.folded, self._left_out)

    def _left_out(self, envelope: Envelope, error: Exception) -> None:
        """One event that the rules can't follow counts as one that can't be read."""
        log.error("own_record_not_folded", subject=envelope.subject, error=repr(error))
        self.unread.append(f"{envelope.type} {envelope.sequence} of {envelope.subject}")

    async def _over_holes(self, turns: InTurn, places: Mapping[UUID, str]) -> None:
        """What the log lacks may be put back (`saga republish`), or a person goes on without it.

        That is said by marking the record behind the hole to be stepped over. Raises TransientError
        while a hole is not.
        """
        skipped = set(await self.redis.hgetall(self.layout.keys.skipped))
        while ahead := turns.first_ahead():
            open_ = [places[e.id] for e in ahead if places[e.id].encode() not in skipped]
            if open_:
                topic, partition, offset = open_[0].rsplit(":", 2)
                raise TransientError(
                    f"the log lacks events of {len(open_)} before {open_[0]}, ...; republish them, "
                    f"or go on without: `saga dead-letters skip {topic} {partition} {offset}`"
                )
            for envelope in ahead:
                log.error("hole_stepped_over", place=places[envelope.id], subject=envelope.subject)
                self._fold(turns.go_on(envelope.subject))

    async def _goes_on(self, stopping: asyncio.Event, topics: Published) -> None:
        if stopping.is_set():
            raise TransientError("stopped in the middle of a rebuild")
        await self._held(RENEW, [])
        self.report(f"Redis has lost its data; rebuilding: {topics.read} of {topics.end} records")
        if clock.monotonic() - self.reported_at > REPORT_EVERY_S:
            self.reported_at = clock.monotonic()
            log.info("rebuilding", records=topics.read, of=topics.end)

    async def _remove_remains(self) -> None:
        """What an unfinished rebuild has left; the audit trail, and what was published, is none of it."""
        names = self.layout.keys
        kept = (
            *(names.rebuild_lock, names.rebuild_begun, names.published, names.skipped),
            names.actions(""),
        )
        found: list[str] = []
        async for raw in self.redis.scan_iter(match=f"{names.prefix}*", count=1000):
            name = raw.decode()
            if not name.startswith(kept):
                found.append(name)
        for chunk in _chunks(found):
            await self._held(REMOVE, chunk)

    async def _fill(self, folded: Folded) -> None:
        layout, shared_table = self.layout, self.layout.shared
        own = (
            (
                layout.own_key(key),
                [*_pairs(STATE_FIELDS, layout.own.values(row)), *_marks(folded, key)],
            )
            for key, row in folded.own.items()
        )
        shared = (
            (layout.shared_key(key), [p for pair in shared_table.values(row).items() for p in pair])
            for key, row in folded.shared.items()
            if shared_table is not None
        )
        for hashes in (own, shared):
            for chunk in _chunks(hashes):
                values = [value for _, pairs in chunk for value in (len(pairs), *pairs)]
                await self._held(FILL, [key for key, _ in chunk], *values)
                crashpoints.reached(crashpoints.REBUILDING)

    async def _held(self, script: str, places: list[str], *values: Any) -> None:
        """Run a script if the lock is ours still, for another lease."""
        all_ = (self.layout.keys.rebuild_lock, *places, self.token, LEASE_MS, *values)
        if await self.redis.eval(HELD + script, 1 + len(places), *all_) != b"DONE":
            raise TransientError("another instance has taken the rebuild over")


def _pairs(names: Iterable[str], values: Iterable[Any]) -> list[Any]:
    return [part for pair in zip(names, values, strict=True) for part in pair]


def _marks(folded: Folded, key: str) -> list[str]:
    return [part for id_ in sorted(folded.causes[key]) for part in (f"m:{id_}", "1")]


def _chunks(items: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(items)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
