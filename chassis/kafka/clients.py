"""Kafka clients with every option that matters spelled out, and topics made where they are missing."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.consumer import fetcher
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from chassis import clock
from chassis.errors import ChassisError
from chassis.kafka.access import start
from chassis.kafka.batches import Batches
from chassis.kafka.cluster import Cluster
from chassis.kafka.membership import USUAL_MIN_S, options_of
from chassis.kafka.permitted import make_topics, refuse_hidden
from chassis.tasks import own_cancellation_only

log = structlog.get_logger()
KEEP_FOR_EVER = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
DEAD_LETTERS = {**KEEP_FOR_EVER, "max.message.bytes": str(2 * 1024 * 1024)}
"""A copy of the largest record that other topics take by default, with what its headers say of it."""
COMPACTED = {
    "cleanup.policy": "compact",
    "max.compaction.lag.ms": str(86_400_000),
    "delete.retention.ms": str(30 * 86_400_000),
}
"""What a tombstone erases is gone after a day or two; a reader may be away for a month and sees it still."""
NOWHERE: Final[Mapping[tuple[str, int], int]] = {}
fetcher.MemoryRecords = Batches  # every consumer of this process: aiokafka takes no other reader
COMMITS_KEPT: Final = timedelta(days=1)
"""Brokers keep a group's commits longer (`offsets.retention.minutes`, by default seven days)."""
ANSWER_S: Final = 60.0
"""So long what a person waits for may take to begin, or to say where topics end: a broker may be busy."""
ADMIN_S: Final = 20.0
"""The same of one request about topics or groups."""
LOOKS: Final = 25
"""So often, each 0.2 s, a neighbour's topic is looked for before it is asked whether it is hidden."""


def make_producer(cluster: Cluster, client_id: str) -> Any:
    """An idempotent producer that waits for all in-sync replicas and never lingers."""
    return AIOKafkaProducer(
        **cluster.options(),
        client_id=client_id,
        enable_idempotence=True,
        acks="all",
        linger_ms=0,
        max_batch_size=512 * 1024,
        max_request_size=4 * 1024 * 1024,
        request_timeout_ms=20_000,
        retry_backoff_ms=50,
        metadata_max_age_ms=10_000,
    )


def make_consumer(cluster: Cluster, group: str | None, session_s: float = USUAL_MIN_S) -> Any:
    """A consumer that skips nothing: earliest, no auto commit, no decoding, one assignor.

    A member of a group that sends no heartbeat for `session_s` is taken for dead.
    """
    return AIOKafkaConsumer(
        **cluster.options(),
        client_id=group or "reader",
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        partition_assignment_strategy=(RangePartitionAssignor,),
        fetch_max_wait_ms=500,
        fetch_min_bytes=1,
        max_partition_fetch_bytes=1024 * 1024,
        **options_of(session_s),
        rebalance_timeout_ms=10_000,
        request_timeout_ms=20_000,
        max_poll_interval_ms=300_000,
        retry_backoff_ms=50,
        metadata_max_age_ms=10_000,
    )


@asynccontextmanager
async def admin_client(
    cluster: Cluster, timeout_s: float = ADMIN_S
) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client for topics, groups and settings. Raises KafkaError, also where none can be reached."""
    admin = AIOKafkaAdminClient(**cluster.options(), request_timeout_ms=int(timeout_s * 1000))
    try:
        await start(admin, cluster)
        yield admin
    finally:
        await admin.close()


async def ensure_topics(
    cluster: Cluster,
    topics: dict[str, tuple[int, dict[str, str]]],
    check: Callable[[set[str], set[str]], Awaitable[None]] | None = None,
) -> set[str]:
    """Make the topics that are missing: name -> (partitions, settings); up to 3 copies.

    `check` is asked before, if some are: with those, and those that are there; it may raise. Returns
    what was there. Raises NotPermittedError where some may not be seen, or not be made.
    """
    async with admin_client(cluster) as admin:
        there = set(await admin.list_topics())
        missing = set(topics) - there
        if missing and check is not None:
            try:
                await check(missing, there)
            except ChassisError:
                await refuse_hidden(admin, missing)
                raise
        copies = min(3, len((await admin.describe_cluster())["brokers"]))
        for name in await make_topics(admin, {name: topics[name] for name in missing}, copies):
            log.info("topic_created", topic=name)
        return there


async def unread(
    cluster: Cluster,
    group: str,
    topics: Iterable[str],
    kept: Mapping[tuple[str, int], int] | None = None,
) -> dict[str, int]:
    """By topic, how many records a group has not read; topics that it has read are left out.

    A broker forgets in time what a group has committed of a topic that it reads no more. So where it
    has committed nothing, records older than `COMMITS_KEPT` count as read. `kept` are positions that
    count where they are before those that were committed.
    """
    found: Counter[str] = Counter()
    async with asyncio.timeout(ANSWER_S):
        places = await places_of(cluster, topics)
    if not places:
        return {}
    client = make_consumer(cluster, group)
    try:
        async with asyncio.timeout(ANSWER_S):
            await start(client, cluster)
            client.assign(places)
            for place, (done, end) in (await _progress(client, places, kept)).items():
                found[place.topic] += max(0, end - done)
    finally:
        await stop_within(client, 5)
    return dict(+found)


async def _progress(
    client: Any, places: list[TopicPartition], kept: Mapping[tuple[str, int], int] | None
) -> dict[TopicPartition, tuple[int, int]]:
    """Up to where the client's group has read, and the end."""
    starts, ends = await client.beginning_offsets(places), await client.end_offsets(places)
    since_ms = int((clock.now() - COMMITS_KEPT).timestamp() * 1000)
    recent = await client.offsets_for_times(dict.fromkeys(places, since_ms))
    found = {}
    for place in places:
        done = await client.committed(place)
        known = recent[place].offset if recent[place] else ends[place]
        if done is None:
            done = known
        elif kept is not None:
            done = min(done, max(known, kept.get((place.topic, place.partition), 0)))
        found[place] = max(done, starts[place]), ends[place]
    return found


async def await_topics(cluster: Cluster, names: tuple[str, ...], stopping: asyncio.Event) -> None:
    """Wait until the neighbours have made their topics.

    Raises NotPermittedError for one that is not seen after a while, as it may not be.
    """
    async with admin_client(cluster) as admin:
        reported: set[str] = set()
        looks = 0
        while missing := set(names) - set(await admin.list_topics()):
            if stopping.is_set():
                return
            if missing != reported:
                log.info("waiting_for_topics", topics=sorted(missing))
                reported = missing
            await clock.wait(0.2)
            looks += 1
            if looks % LOOKS == 0:
                await refuse_hidden(admin, missing)


@dataclass
class Log:
    """Topics, read on from `reached`. `read` and `end` count records; `starts` are first offsets."""

    client: Any
    starts: dict[TopicPartition, int]
    reached: dict[TopicPartition, int]
    read: int = 0
    end: int = 0

    async def ahead(self) -> dict[TopicPartition, int]:
        """The ends of the partitions in which there is more to read now."""
        places = list(self.starts)
        async with asyncio.timeout(ANSWER_S):
            ends = await self.client.end_offsets(places) if places else {}
        return {place: ends[place] for place in places if ends[place] > self.reached[place]}

    async def to_end(self) -> AsyncIterator[list[ConsumerRecord]]:
        """Go on to what is the end now, in batches; within a partition in order."""
        ends = await self.ahead()
        self.end = self.read + sum(end - self.reached[place] for place, end in ends.items())
        lagging = {p for p in ends if await self.client.position(p) < ends[p]}
        while lagging:
            batches = await self.client.getmany(timeout_ms=200, max_records=2000)
            records = [record for batch in batches.values() for record in batch]
            self.read += len(records)
            self.reached |= {place: batch[-1].offset + 1 for place, batch in batches.items()}
            yield records
            lagging = {p for p in lagging if await self.client.position(p) < ends[p]}


@asynccontextmanager
async def reading(
    cluster: Cluster, topics: Iterable[str], since: Mapping[tuple[str, int], int] = NOWHERE
) -> AsyncIterator[Log]:
    """A client of no group on those of the topics that exist; it commits nothing."""
    client = make_consumer(cluster, None)
    try:
        async with asyncio.timeout(ANSWER_S):
            await start(client, cluster)
            places = await places_of(cluster, topics)
            if places:
                client.assign(places)
            starts = await client.beginning_offsets(places) if places else {}
            ends = await client.end_offsets(places) if places else {}
        reached = {
            place: _reached(since.get((place.topic, place.partition), 0), start, ends[place])
            for place, start in starts.items()
        }
        for place, offset in reached.items():
            client.seek(place, offset)
        yield Log(client, starts, reached)
    finally:
        await stop_within(client, 5)


def _reached(since: int, start: int, end: int) -> int:
    """Beyond the end stands who has read another log: this one is read from its start."""
    return start if since > end else max(start, since)


async def places_of(cluster: Cluster, topics: Iterable[str]) -> list[TopicPartition]:
    """All partitions of those of the topics that exist. Raises NotPermittedError for one that is hidden."""
    async with admin_client(cluster) as admin:
        wanted = set(topics)
        existing = sorted(wanted.intersection(await admin.list_topics()))
        await refuse_hidden(admin, wanted.difference(existing))
        described = await admin.describe_topics(existing) if existing else ()  # of none: of all
    return [
        TopicPartition(topic["topic"], partition["partition"])
        for topic in described
        for partition in topic["partitions"]
    ]


async def stop_within(client: Any, seconds: float) -> None:
    """Stop a client that may hang: after the time it is dropped, and nothing of it goes on."""
    try:
        with own_cancellation_only():
            async with asyncio.timeout(seconds):
                await client.stop()
    except Exception as error:  # noqa: BLE001 - it is being thrown away, and whatever ails it with it
        log.warning("client_dropped", client=type(client).__name__, error=repr(error))
        await cut_off(client)


async def cut_off(client: Any) -> None:
    """End what a stop that was cut short leaves running: a member without a poll, and its logs."""
    for part, names in _TASKS.items():
        tasks = (getattr(getattr(client, part, None), name, None) for name in names)
        for task in filter(None, tasks):
            task.cancel()
    try:
        if waiting := getattr(client, "_message_accumulator", None):
            fail_batches(waiting)
        connections = client.client if hasattr(client, "client") else client._client  # noqa: SLF001
        with (
            own_cancellation_only()
        ):  # a close that was cut short leaves futures that were cancelled
            async with asyncio.timeout(1):
                await connections.close()
    except Exception as error:  # noqa: BLE001 - its sockets go with the object then
        log.info("client_not_closed", error=repr(error))


def fail_batches(accumulator: Any) -> None:
    """Whoever waits for a record is told; where nobody does any more, nobody has to be."""
    queues = getattr(accumulator, "_batches", {}).values()
    batches = [*chain.from_iterable(queues), *getattr(accumulator, "_pending_batches", ())]
    accumulator.fail_all(ConnectionError("the producer was dropped"))
    for batch in batches:
        for future in (batch.future, batch._drain_waiter):  # noqa: SLF001 - nobody else looks at it
            if future.done() and not future.cancelled():
                future.exception()  # retrieved: the collector need not complain


_TASKS = {
    "_coordinator": ("_coordination_task", "_heartbeat_task", "_commit_refresh_task"),
    "_fetcher": ("_fetch_task",),
    "_sender": ("_sender_task",),
}
"""aiokafka 0.14's own tasks, by the part of a client that holds them: there is no public way."""
