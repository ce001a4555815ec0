"""What a consumer has in hand: its partitions, its place in each, and what has been fetched."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from simulation.connection import BrokerConnection
from simulation.faults import Fault
from simulation.partition import Partition
from simulation.waiters import Waiters


@dataclass(eq=False, slots=True)
class AssignedPartition:
    """Records from `position` to before `fetched` are here already; a fetch may be on its way."""

    log: Partition
    position: int | None = None
    fetched: int = 0
    is_fetching: bool = False
    error: KafkaError | None = None

    def seek(self, offset: int) -> None:
        self.position = self.fetched = offset
        self.error = None


@dataclass(eq=False)
class Assignment:
    connection: BrokerConnection
    options: SimpleNamespace
    changed: Waiters
    places: dict[TopicPartition, AssignedPartition] = field(default_factory=dict)
    active: bool = True

    def drain(
        self, wanted: tuple[TopicPartition, ...], limit: int | None
    ) -> dict[TopicPartition, list[ConsumerRecord[Any, Any]]]:
        """Hand out what is here. An error loses what was drained before it: the position is past it."""
        drained: dict[TopicPartition, list[ConsumerRecord[Any, Any]]] = {}
        for place, at in self.places.items():
            if at.position == at.fetched == at.log.end and at.error is None:
                continue  # most of them: nothing is here, and nothing is to come
            if at.position is None or (wanted and place not in wanted):
                continue
            if at.fetched != at.log.end and at.position >= at.fetched:
                self._fetch(place, at)
            if at.error is not None:
                error, at.error = at.error, None
                raise error
            if at.position < at.fetched:
                records, at.position = at.log.read(at.position, at.fetched, limit)
                if records:
                    drained[place] = records
                    limit = None if limit is None else limit - len(records)
                    if limit == 0:
                        break
        self._rotate(drained)
        return drained

    def _rotate(self, drained: dict[TopicPartition, Any]) -> None:
        """Who has nothing left goes to the end of the row, so that everyone has a turn."""
        for place in drained:
            at = self.places[place]
            if at.position == at.fetched:
                self.places[place] = self.places.pop(place)

    def _fetch(self, place: TopicPartition, at: AssignedPartition) -> None:
        broker, position = self.connection.broker, at.position
        is_away = broker.away or not self.connection.reaches
        if at.is_fetching or is_away or position is None:
            return
        if not at.log.start <= position <= at.log.end:
            position = self._reset(at.log)
            at.seek(position)
            if position == at.log.end:
                return
        fault = broker.fault_of("fetch", place)
        end = at.log.fetch_end(position, self.options.max_partition_fetch_bytes)
        delay_s = broker.latency_s + fault.delay_s + fault.reply_delay_s
        if fault.error is not None and fault.error.retriable:
            delay_s += self.connection.backoff_s
        if delay_s <= 0:
            self._fetched(at, position, end, fault)
        else:
            at.is_fetching = True
            self.connection.loop.call_later(delay_s, self._fetched, at, position, end, fault)

    def _fetched(self, at: AssignedPartition, position: int, end: int, fault: Fault) -> None:
        at.is_fetching = False
        if self.active and at.position == position:
            if fault.error is None:
                at.fetched = end
            elif not fault.error.retriable:
                at.error = fault.error
        self.changed.wake()

    async def settle(self, committed: dict[TopicPartition, int]) -> None:
        """Begin where the group has committed, else where the options say; a seek goes before both."""
        for place in self.places:
            if place in committed:
                self._begin(place, committed[place])
        unknown = [place for place, at in self.places.items() if at.position is None]
        if unknown:
            found = await self.connection.persist("offsets", lambda: self._resets(unknown))
            for place, offset in found.items():
                self._begin(place, offset)

    def _resets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {place: self._reset(self.places[place].log) for place in places}

    def _reset(self, log: Partition) -> int:
        return log.start if self.options.auto_offset_reset == "earliest" else log.end

    def _begin(self, place: TopicPartition, offset: int) -> None:
        at = self.places[place]
        if at.position is None:
            at.seek(offset)
