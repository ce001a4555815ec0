"""saga topics: each topic with its readers, and whether those of an earlier layout are drained."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import typer
from redis.asyncio import Redis
from rich.table import Table

from chassis import clock
from chassis.kafka import COMMITS_KEPT
from chassis.redis import keys
from guarantees.declared import layout_of, service_of
from saga_cli.clients import database, in_one_line
from saga_cli.log.kafka import KafkaLog, committed
from saga_cli.log.reader import LANES, TOPICS
from saga_cli.log.source import LogPartition, Span
from saga_cli.targets import Targets, found
from saga_cli.terminal import console, print_json, table_of, write_violations
from saga_cli.topology import BY_NAME, SERVICES

WAITING: Final = "SELECT topic, count(*) FROM outbox GROUP BY topic"


@dataclass(slots=True)
class TopicUse:
    """`records` are in Kafka now, `waiting` in its owner's outbox; `unread` are by reader."""

    topic: str
    is_former: bool
    partitions: int
    records: int
    waiting: int = 0
    unread: dict[str, int] = field(default_factory=dict)

    def left(self) -> list[str]:
        """What keeps a topic of an earlier layout in use."""
        if not self.is_former:
            return []
        why = [f"{self.topic}: {name} has not read {n}" for name, n in self.unread.items() if n]
        return why + [f"{self.topic}: {self.waiting} wait in the outbox"] * bool(self.waiting)


def show(*, drained: bool, as_json: bool) -> None:
    """With `drained` the command ends with 1 while a topic of an earlier layout is in use."""
    with in_one_line():
        uses = asyncio.run(used(found()))
    left = [why for use in uses for why in use.left()]
    if as_json:
        print_json({"topics": [asdict(use) for use in uses], "left": left})
    else:
        console.print(_table(uses))
        write_violations(left, len(left))
    if left and drained:
        raise typer.Exit(1)


async def used(places: Targets) -> list[TopicUse]:
    """Of the topics that exist: ends first, then what was read, then what waits.

    Of a topic of an earlier layout a broker forgets in time what was committed, when nobody reads it.
    """
    log = KafkaLog(places.kafka)
    spans = await log.spans(TOPICS)
    former = [place for place in spans if place.topic not in LANES]
    forgotten = await log.offsets_at(clock.now() - COMMITS_KEPT, former) if former else {}
    read = {spec.name: await committed(places.kafka, spec.name) for spec in SERVICES}
    of_topic: dict[str, dict[LogPartition, Span]] = {}
    for place, span in spans.items():
        of_topic.setdefault(place.topic, {})[place] = span
    uses = {
        topic: TopicUse(topic, topic not in LANES, len(of), sum(map(_length, of.values())))
        for topic in TOPICS
        if (of := of_topic.get(topic))
    }
    for name, done in read.items():
        for topic in service_of(name).read_topics & uses.keys():
            uses[topic].unread[name] = _unread(of_topic[topic], {**forgotten, **done})
    for spec in SERVICES:
        for topic, count in (await _waiting(places, spec.name)).items():
            if topic in uses:
                uses[topic].waiting = count
    return list(uses.values())


def _length(span: Span) -> int:
    return span.end - span.start


def _unread(spans: Mapping[LogPartition, Span], done: Mapping[LogPartition, int]) -> int:
    return sum(max(0, s.end - max(s.start, done.get(place, 0))) for place, s in spans.items())


async def _waiting(places: Targets, name: str) -> Mapping[str, int]:
    if BY_NAME[name].has_database:
        async with database(places.store_of(name)) as connection:
            return {row[0]: row[1] for row in await connection.fetch(WAITING)}
    redis: Any  # it does not know that it answers with bytes
    async with Redis.from_url(places.store_of(name)) as redis:
        rows = await redis.xrange(layout_of(name).keys.outbox)
    flat = ([part for pair in row.items() for part in pair] for _, row in rows)
    return Counter(keys.row_of(pairs).topic for pairs in flat)


def _table(uses: list[TopicUse]) -> Table:
    names = ("topic", "layout", "partitions", "records", "in the outbox", "not read")
    shown = table_of(*names, right={"partitions", "records", "in the outbox"})
    for use in uses:
        unread = ", ".join(f"{name} {count}" for name, count in use.unread.items()) or "no reader"
        numbers = map(str, (use.partitions, use.records, use.waiting))
        shown.add_row(use.topic, "former" if use.is_former else "lanes", *numbers, unread)
    return shown
