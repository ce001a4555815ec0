"""aiokafka's consumer, as far as it is used here, on a simulated broker."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import (
    ConsumerStoppedError,
    IllegalOperation,
    IllegalStateError,
    KafkaTimeoutError,
)
from aiokafka.structs import OffsetAndMetadata, OffsetAndTimestamp
from aiokafka.util import commit_structure_validate

from simulation.assignment import AssignedPartition, Assignment
from simulation.broker import Broker
from simulation.connection import BrokerConnection, options_of
from simulation.coordinator import Coordinator, committed_of
from simulation.group import Joining
from simulation.partition import Partition
from simulation.waiters import Waiters, woken

log = structlog.get_logger()
RecordsByPartition = dict[TopicPartition, list[ConsumerRecord[Any, Any]]]


class SimulatedConsumer:
    def __init__(self, broker: Broker, **options: Any) -> None:
        self.options = _simulated(options_of(AIOKafkaConsumer, options))
        self._broker = broker
        self._client = BrokerConnection(broker, self.options)
        self._coordinator: Coordinator | None = None
        self._changed = Waiters()
        self._assignment = Assignment(self._client, self.options, self._changed)
        self._readers: tuple[Waiters, ...] = ()
        self._listener: ConsumerRebalanceListener | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._is_assigned = False
        self._is_closed = False
        self._polls = 0
        self._polled_at = self._client.loop.time()
        self._client.changed = self._liveness_changed

    async def start(self) -> None:
        await self._client.bootstrap()

    async def stop(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if self._coordinator is not None:
            await self._coordinator.close()
        if self._refreshing is not None:
            self._refreshing.cancel()
        self._assignment.active = False
        self._changed.wake()
        await self._client.close()

    # Subscriptions

    def subscribe(
        self, topics: Iterable[str], listener: ConsumerRebalanceListener | None = None
    ) -> None:
        chosen = self.options
        if chosen.group_id is None or self._coordinator is not None:
            raise NotImplementedError("subscribe without a group, or once more")
        self._listener = listener
        self._is_assigned = False
        (assignor,) = chosen.partition_assignment_strategy
        says = Joining(
            tuple(sorted(topics)),
            chosen.session_timeout_ms / 1000,
            chosen.heartbeat_interval_ms / 1000,
            (chosen.rebalance_timeout_ms or chosen.session_timeout_ms) / 1000,
            assignor,
        )
        group, max_idle_s = self._broker.group(chosen.group_id), chosen.max_poll_interval_ms / 1000
        hooks = (self._revoke, self._assign, self._idle_s)
        self._coordinator = Coordinator(self._client, group, says, max_idle_s, *hooks)
        self._coordinator.request_rejoin()

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        if self._coordinator is not None:
            raise IllegalStateError("subscribe and assign are mutually exclusive")
        self._take(partitions)

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._assignment.places)

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return self._broker.partitions_for_topic(topic)

    def _liveness_changed(self) -> None:
        if self._coordinator is not None:
            self._coordinator.liveness_changed()
        self._changed.wake()

    def _take(self, partitions: Iterable[TopicPartition]) -> None:
        self._assignment.active = False
        places = {place: AssignedPartition(self._broker.partition(place)) for place in partitions}
        self._assignment = Assignment(self._client, self.options, self._changed, places)
        topics = dict.fromkeys(place.topic for place in places)
        self._readers = tuple(self._broker.topics[topic].readers for topic in topics)
        self._is_assigned = True
        if self._refreshing is not None:
            self._refreshing.cancel()
        self._refreshing = asyncio.create_task(self._refresh(self._assignment))
        self._changed.wake()

    async def _refresh(self, assignment: Assignment) -> None:
        try:
            await assignment.settle(await self._committed())
        finally:
            self._changed.wake()

    def _check(self) -> None:
        """Raise what has ended the client's own work, again and again."""
        if self._coordinator is not None:
            self._coordinator.check()
        task = self._refreshing
        if task is not None and task.done() and not task.cancelled():
            task.result()

    async def _revoke(self) -> None:
        self._is_assigned = False
        await self._notify("on_partitions_revoked")

    async def _assign(self, partitions: list[TopicPartition]) -> None:
        self._take(partitions)
        await self._notify("on_partitions_assigned")

    async def _notify(self, event: str) -> None:
        if self._listener is None:
            return
        try:
            result = getattr(self._listener, event)(self.assignment())
            if asyncio.iscoroutine(result):
                await result
        except Exception as error:  # noqa: BLE001 - aiokafka logs it, and goes on
            log.warning("listener_failed", listener=event, error=repr(error))

    # Records

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> RecordsByPartition:
        """Waits without end for an assignment, whatever the time limit is, as aiokafka does."""
        if self._is_closed:
            raise ConsumerStoppedError
        self._check()
        self._polls += 1  # and no `finally`: after an error the client counts as polled for ever
        found = await self._found(partitions, timeout_ms / 1000, max_records)
        self._polls -= 1
        self._polled_at = self._client.loop.time()
        return found

    async def _found(
        self, partitions: tuple[TopicPartition, ...], seconds: float, limit: int | None
    ) -> RecordsByPartition:
        loop = self._client.loop
        deadline = loop.time() + seconds
        await asyncio.sleep(0)
        while True:
            while not self._is_assigned:
                await woken(None, self._changed)
            self._check()
            drained = self._assignment.drain(partitions, limit or self.options.max_poll_records)
            left_s = deadline - loop.time()
            if drained or left_s <= 0:
                return drained
            if not await woken(left_s, self._changed, *self._readers) or self._is_closed:
                return {}

    def _idle_s(self) -> float:
        return 0.0 if self._polls else self._client.loop.time() - self._polled_at

    # Positions

    async def position(self, partition: TopicPartition) -> int:
        while True:
            position = self._place(partition).position
            if position is not None:
                return position
            self._check()
            await woken(self._client.timeout_s, self._changed)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        if offset < 0:
            raise ValueError("Offset must be a positive integer")
        self._place(partition).seek(offset)
        self._changed.wake()

    async def commit(self, offsets: dict[TopicPartition, Any] | None = None) -> None:
        if self._coordinator is None:
            raise IllegalOperation("Requires group_id")
        if offsets is None:
            chosen = self._consumed()
        else:
            chosen = commit_structure_validate(offsets)
            for place in chosen:
                self._place(place)
        if chosen:
            await self._coordinator.commit(chosen)

    async def committed(self, partition: TopicPartition) -> int | None:
        if self.options.group_id is None:
            raise IllegalOperation("Requires group_id")
        return (await self._committed()).get(partition)

    async def _committed(self) -> dict[TopicPartition, int]:
        """Of its group, whether it is a member or was assigned its partitions by hand."""
        if self.options.group_id is None:
            return {}
        return await committed_of(self._client, self._broker.group(self.options.group_id))

    async def beginning_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        return await self._offsets(partitions, lambda log: log.start)

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return await self._offsets(partitions, lambda log: log.end)

    async def offsets_for_times(
        self, timestamps: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, OffsetAndTimestamp | None]:
        def look() -> dict[TopicPartition, OffsetAndTimestamp | None]:
            return {p: self._broker.partition(p).since(at) for p, at in timestamps.items()}

        found: dict[TopicPartition, OffsetAndTimestamp | None]
        found = await self._client.persist("offsets", look)
        return found

    async def _offsets(
        self, partitions: Iterable[TopicPartition], read: Callable[[Partition], int]
    ) -> dict[TopicPartition, int]:
        places = tuple(partitions)

        def look() -> dict[TopicPartition, int]:
            return {place: read(self._broker.partition(place)) for place in places}

        try:
            async with asyncio.timeout(self._client.timeout_s):
                found: dict[TopicPartition, int] = await self._client.persist("offsets", look)
        except TimeoutError as error:
            timeout_ms = self.options.request_timeout_ms
            raise KafkaTimeoutError(f"no offsets within {timeout_ms} ms") from error
        return found

    def _consumed(self) -> dict[TopicPartition, OffsetAndMetadata]:
        return {
            place: OffsetAndMetadata(at.position, "")
            for place, at in self._assignment.places.items()
            if at.position is not None
        }

    def _place(self, partition: TopicPartition) -> AssignedPartition:
        place = self._assignment.places.get(partition)
        if place is None:
            raise IllegalStateError(f"Partition {partition} is not assigned")
        return place


def _simulated(options: SimpleNamespace) -> SimpleNamespace:
    """Raises NotImplementedError for what has another meaning than the only one that it has here."""
    if options.group_id is not None and options.enable_auto_commit:
        raise NotImplementedError("the simulated consumer commits only on request")
    if options.auto_offset_reset not in {"earliest", "latest"} or options.fetch_min_bytes != 1:
        raise NotImplementedError("auto_offset_reset or fetch_min_bytes")
    if len(options.partition_assignment_strategy) != 1:
        raise NotImplementedError("more than one assignor")
    return options
