"""Services' topics compared with what was kept, and what they lack put back.

All relays stand back first, and what they were sending is waited for: it would get ahead of what is
put back of its key. An event that is missing is followed by all later ones of its key, so that the last
of each stand in the order of decision; whoever has consumed them before knows them by their ids.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

from chassis import clock
from chassis.kafka import KEEP_FOR_EVER, PARTITIONS, ensure_topics, reading, topics_of
from chassis.message import OutboxRow
from chassis.outbox import Sender
from chassis.service import Service
from chassis.store import Store
from guarantees.declared import configured
from saga_cli.progress import ReadProgress
from saga_cli.republish.leading import leading, opened
from saga_cli.targets import Targets
from saga_cli.terminal import message_of
from saga_cli.topology import BY_NAME
from saga_cli.verify.live import Live, in_postgres
from saga_cli.verify.redis_live import in_redis

TopicKey: TypeAlias = tuple[str, str]
"""Topic and key."""


class EventName(NamedTuple):
    """An event; a tombstone has no id."""

    topic: str
    key: str
    id: str


def named(
    topic: str, key: str, headers: Iterable[tuple[str, bytes | None]]
) -> tuple[EventName, int]:
    """The event, and its number among those of its key; 0 if it has none."""
    found = dict(headers)
    id_, number = found.get("ce_id") or b"", found.get("ce_sequence") or b"0"
    return EventName(topic, key, id_.decode()), int(number)


@dataclass(slots=True)
class RetainedEvents:
    """The events that a service kept, in the order in which Kafka had them."""

    topics: frozenset[str]
    names: list[EventName] = field(default_factory=list)
    numbers: dict[str, set[int]] = field(default_factory=dict)

    def add(self, rows: Iterable[OutboxRow]) -> None:
        for row in rows:
            if row.topic in self.topics:
                self.names.append(self.know(row))

    def know(self, row: OutboxRow) -> EventName:
        """It is not lost: it is kept, or waits for Kafka."""
        name, number = named(row.topic, row.key, row.headers)
        self.numbers.setdefault(row.key, set()).add(number)
        return name


@dataclass(slots=True)
class PublishedEvents:
    """What stands in the topics: of each event the last offset."""

    last: dict[EventName, int] = field(default_factory=dict)
    numbers: dict[str, set[int]] = field(default_factory=dict)

    def add(self, records: Iterable[Any]) -> None:
        for record in records:
            key = (record.key or b"").decode("utf-8", "backslashreplace")
            try:
                name, number = named(record.topic, key, record.headers)
            except ValueError:  # somebody else's
                continue
            self.last[name] = record.offset
            self.numbers.setdefault(key, set()).add(number)

    def again(self, names: Sequence[EventName]) -> dict[TopicKey, int]:
        """By key, how many of the kept ones stand in order; what follows is sent again."""
        since: dict[TopicKey, int] = {}
        passed: Counter[TopicKey] = Counter()
        reached: dict[TopicKey, int] = {}
        for name in names:
            key = (name.topic, name.key)
            offset = self.last.get(name, -1)
            if key not in since and offset < reached.get(key, 0):
                since[key] = passed[key]
            passed[key] += 1
            reached[key] = offset
        return since


def lost(holds: Mapping[str, int], kept: RetainedEvents, found: PublishedEvents) -> int:
    """How many events there were, by the numbers that states hold, that are nowhere any more."""
    count = 0
    for key in holds.keys() | kept.numbers.keys() | found.numbers.keys():
        known = (kept.numbers.get(key, set()) | found.numbers.get(key, set())) - {0}
        count += max((holds.get(key, 0), *known)) - len(known)
    return count


TRIES: Final = 5
SETTLE_S: Final = Sender.send_timeout_s + 1
"""So long may a relay that leads no more be sending what it has read."""


class InterruptedSendError(Exception):
    """Kafka does not take it: what was sent stays, and the command may be given again."""


@dataclass(frozen=True, slots=True)
class Republished:
    """`missing` are kept and were not in their topic; `again` are those and what follows them."""

    service: str
    kept: int
    missing: int
    again: int
    lost: int


async def republish(
    places: Targets, names: Sequence[str], progress: Mapping[str, ReadProgress], *, dry_run: bool
) -> list[Republished]:
    """Raises InterruptedSendError, TimeoutError, or what the servers' clients raise."""
    async with AsyncExitStack() as stack:
        parts = []
        for name in names:
            service = configured(name)
            store = await stack.enter_async_context(opened(places, service))
            parts.append(ServiceJob(places, service, store, progress[name]))
        if not dry_run:
            for part in parts:
                await stack.enter_async_context(leading(part.store))
        compared = [await part.compared() for part in parts]
        if not dry_run:
            if any(since for _, since in compared):
                await clock.wait(SETTLE_S)
            late = (since for _, since in compared)
            compared = [await part.put_back(of) for part, of in zip(parts, late, strict=True)]
        return [result for result, _ in compared]


@dataclass(frozen=True, slots=True)
class ServiceJob:
    places: Targets
    service: Service
    store: Store
    progress: ReadProgress

    async def compared(self) -> tuple[Republished, Mapping[TopicKey, int]]:
        """And by key, how many of what was kept stand in order.

        States first, then what is kept, then the topics: each knows what the one before does.
        """
        topics = self.service.own_topics.union(self.service.log_topics)
        kept, found = RetainedEvents(topics), PublishedEvents()
        holds = await _holds(self.places, self.service, kept)
        async for rows in self.store.kept():
            kept.add(rows)
        async with reading(self.places.kafka, kept.topics) as log:
            self.progress(0, sum((await log.ahead()).values()))
            async for records in log.to_end():
                found.add(records)
                self.progress(len(records), 0)
        since, of_key = found.again(kept.names), Counter((n.topic, n.key) for n in kept.names)
        missing = sum(name not in found.last for name in kept.names)
        again = sum(of_key[key] - start for key, start in since.items())
        counts = (len(kept.names), missing, again, lost(holds, kept, found))
        return Republished(self.service.name, *counts), since

    async def put_back(
        self, late: Iterable[TopicKey]
    ) -> tuple[Republished, Mapping[TopicKey, int]]:
        """Make what topics are gone, and send what they lack; returns what was missing.

        `late` is what was found to lack something: also in topics of before, which nobody else makes.
        """
        former = dict.fromkeys({topic for topic, _ in late}, (PARTITIONS, KEEP_FOR_EVER))
        await ensure_topics(self.places.kafka, former | topics_of(self.service))
        result, since = await self.compared()
        if since:
            self.progress(0, result.again)
            sender = Sender(self.places.kafka, f"{self.service.name}-republish")
            passed: Counter[TopicKey] = Counter()
            try:
                async for rows in self.store.kept():
                    batch = [row for row in rows if _is_late(row, since, passed)]
                    if batch:
                        await _send(self.store, sender, batch)
                        self.progress(len(batch), 0)
            finally:
                await sender.drop_producer()
        return result, since


def _is_late(row: OutboxRow, since: Mapping[TopicKey, int], passed: Counter[TopicKey]) -> bool:
    """Whether a kept row is the first of its key that is missing, or follows it; to be asked in order."""
    key = (row.topic, row.key)
    if key not in since:
        return False
    passed[key] += 1
    return passed[key] > since[key]


async def _send(store: Store, sender: Sender, batch: list[OutboxRow]) -> None:
    waiting, tries = [(str(number), row) for number, row in enumerate(batch)], TRIES
    while tries:
        if not await store.lead():
            raise InterruptedSendError("another relay has taken over")
        acknowledged, error = await sender.publish(waiting)
        done = set(acknowledged)
        waiting = [(id_, row) for id_, row in waiting if id_ not in done]
        if not waiting:
            return
        error = next(iter({**sender.refused, **sender.shut}.values()), error)
        tries -= error is not None or not done
        await sender.drop_producer()
    why = message_of(error) if error else "no answer"
    raise InterruptedSendError(f"Kafka does not take it: {why}")


async def _holds(places: Targets, service: Service, kept: RetainedEvents) -> dict[str, int]:
    """By key, the number of its last event; what is pending is not lost."""
    name, url = service.name, places.store_of(service.name)
    opened_rows: AbstractAsyncContextManager[Live]
    opened_rows = in_postgres(name, url) if BY_NAME[name].has_database else in_redis(url)
    async with opened_rows as live:
        for row in live.pending:
            kept.know(row)
        own = {key: row.version for key, row in await live.other_than(frozenset())}
        counter, shared = BY_NAME[name].counter, live.shared or {}
        return own | {key: int(getattr(row, counter)) for key, row in shared.items()}
