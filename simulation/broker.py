"""Kafka in memory: topics, groups and the way of a request, for a loop with virtual time.

What a request does happens in the broker's own context, so a request of a process that has died
in the meantime arrives all the same, as it does over a network.
"""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    NodeNotReadyError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from simulation.faults import NO_FAULT, Fault, FaultOf, RequestKind
from simulation.group import Group
from simulation.partition import Partition, PartitionBatch
from simulation.process import current
from simulation.waiters import Waiters, refuse

COORDINATION: Final = frozenset({"commit", "committed", "join", "heartbeat", "leave"})
Reply = asyncio.Future[Any]


@dataclass
class Topic:
    partitions: list[Partition]
    readers: Waiters = field(default_factory=Waiters)


@dataclass(frozen=True, slots=True)
class _Request:
    epoch: int
    effect: Callable[[], Any]
    reply: Reply
    fault: Fault


class QueueLine:
    """A connection on which requests keep their order."""

    def __init__(self) -> None:
        self.last_arrival = -math.inf

    def arrival(self, at: float) -> float:
        self.last_arrival = max(at, math.nextafter(self.last_arrival, math.inf))
        return self.last_arrival


class Broker:
    """What clients are told of at `address`. Its data survive when it is `down`."""

    address: Final = "simulated:9092"

    def __init__(self, latency_s: float = 0.0) -> None:
        self.latency_s = latency_s
        self.fault_of: FaultOf = lambda _kind, _place: NO_FAULT
        self.topics: dict[str, Topic] = {}
        self.groups: dict[str, Group] = {}
        self.on_append: list[Callable[[Sequence[ConsumerRecord[Any, Any]]], None]] = []
        self.refused: dict[bytes, Any] = {}
        """By key the value of a record that is never taken; None: that of the next that comes."""
        self.shut: set[str] = set()
        """Topics for which nobody may send anything."""
        self.producer_ids = count(1)
        self._down = False
        self._suspended_at: float | None = None
        self._epoch = 0
        self._in_flight: dict[Reply, None] = {}
        self._held: list[_Request] = []
        self._context = Context()
        self._context.run(current.set, None)

    # Topics and records

    def create_topic(self, name: str, partitions: int, settings: Mapping[str, str]) -> None:
        if name in self.topics:
            raise TopicAlreadyExistsError(name)
        compacted = "compact" in settings.get("cleanup.policy", "delete")
        made = [Partition(name, number, compacted) for number in range(partitions)]
        self.topics[name] = Topic(made)

    def partition(self, place: TopicPartition) -> Partition:
        topic, number = self.topics.get(place.topic), int(place.partition)
        if topic is None or not 0 <= number < len(topic.partitions):
            raise UnknownTopicOrPartitionError(place)
        return topic.partitions[number]

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        found = self.topics.get(topic)
        return None if found is None else set(range(len(found.partitions)))

    def numbers_of(self, topic: str) -> list[int]:
        """Those of its partitions, in order; of a topic that does not exist none."""
        return sorted(self.partitions_for_topic(topic) or ())

    def log(self, topic: str, partition: int) -> list[ConsumerRecord[Any, Any]]:
        return self.partition(TopicPartition(topic, partition)).records

    def append(self, place: TopicPartition, batch: PartitionBatch) -> int:
        """Returns the offset of the batch's first record."""
        is_sent = batch.producer_id is not None
        if is_sent and place.topic in self.shut:
            raise TopicAuthorizationFailedError(place.topic)
        if is_sent and any(self._is_refused(key, value) for _, key, value, _ in batch.records):
            raise MessageSizeTooLargeError
        offset, appended = self.partition(place).append(batch)
        if appended:
            for notify in self.on_append:
                notify(appended)
            self.topics[place.topic].readers.wake()
        return offset

    def _is_refused(self, key: bytes | None, value: bytes | None) -> bool:
        if key is None or key not in self.refused:
            return False
        if self.refused[key] is None:
            self.refused[key] = value
        return bool(self.refused[key] == value)

    def compact(self, topic: str, *, tombstones: bool = True) -> None:
        """What the log cleaner does in its own time; with no `tombstones`, those go as well."""
        for partition in self.topics[topic].partitions:
            partition.compact(tombstones=tombstones)

    # Groups

    def group(self, name: str) -> Group:
        if name not in self.groups:
            self.groups[name] = Group(self, name)
        return self.groups[name]

    # Outages

    @property
    def away(self) -> bool:
        return self._down or self._suspended_at is not None

    @property
    def down(self) -> bool:
        """Whether nobody can connect."""
        return self._down

    @down.setter
    def down(self, value: bool) -> None:
        self._down = value
        if value:
            self._break_off()
        else:
            self._suspended_at = None
            self._wake_readers()

    def _break_off(self) -> None:
        """Every connection ends."""
        self._epoch += 1
        self._held.clear()
        broken, self._in_flight = list(self._in_flight), {}
        for reply in broken:
            refuse(reply, KafkaConnectionError("the broker closed the connection"))
        for group in self.groups.values():
            group.forget_joins()

    def suspend(self) -> None:
        """Requests are held up, until their senders give up or `resume` lets them through."""
        self._suspended_at = asyncio.get_running_loop().time()

    def resume(self) -> None:
        if self._suspended_at is None:
            return
        away_s = asyncio.get_running_loop().time() - self._suspended_at
        self._suspended_at = None
        for group in self.groups.values():
            group.expire_older_than(away_s)
        held, self._held = self._held, []
        for request in held:
            self._arrive(request)
        self._wake_readers()

    def _wake_readers(self) -> None:
        for topic in self.topics.values():
            topic.readers.wake()

    # Requests

    def later(self, seconds: float, call: Callable[..., None], *args: Any) -> asyncio.Handle:
        loop = asyncio.get_running_loop()
        if seconds <= 0:
            return loop.call_soon(call, *args, context=self._context)
        return loop.call_later(seconds, call, *args, context=self._context)

    def send(
        self, line: QueueLine, kind: RequestKind, place: TopicPartition, effect: Callable[[], Any]
    ) -> Reply:
        """Let a request have its effect here; what that returns or raises is the reply."""
        loop = asyncio.get_running_loop()
        reply = loop.create_future()
        if self._down:
            refuse(reply, NodeNotReadyError(f"{self.address} refuses the connection"))
            return reply
        fault = self.fault_of(kind, place)
        self._in_flight[reply] = None
        delay_s = self.latency_s / 2 + fault.delay_s
        if kind in COORDINATION:
            now = loop.time()
            delay_s = line.arrival(now + delay_s) - now
        self.later(delay_s, self._arrive, _Request(self._epoch, effect, reply, fault))
        return reply

    def _arrive(self, request: _Request) -> None:
        if request.epoch != self._epoch:
            return
        if self._suspended_at is not None:
            self._held.append(request)
            return
        fault, result = request.fault, None
        error: KafkaError | None = fault.error
        if error is None or fault.applied:
            try:
                result = request.effect()
            except KafkaError as refused:
                error = error or refused
        if isinstance(result, asyncio.Future):
            result.add_done_callback(
                lambda parked: self._answer(request, *_outcome(parked)), context=self._context
            )
        else:
            self._answer(request, result, error)

    def _answer(self, request: _Request, result: Any, error: BaseException | None) -> None:
        delay_s = self.latency_s / 2 + request.fault.reply_delay_s
        error = error or request.fault.error
        if delay_s > 0:
            self.later(delay_s, self._deliver, request.reply, result, error)
        else:
            self._deliver(request.reply, result, error)

    def _deliver(self, reply: Reply, result: Any, error: BaseException | None) -> None:
        self._in_flight.pop(reply, None)
        if error is not None:
            refuse(reply, error)
        elif not reply.done():
            reply.set_result(result)


def _outcome(parked: Reply) -> tuple[Any, BaseException | None]:
    error = parked.exception()
    return (None, error) if error is not None else (parked.result(), None)
