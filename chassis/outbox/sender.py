"""How rows get into Kafka: by topic and partition, one batch of a partition at a time.

Any error of a send drops the producer: its sequence numbers may have a gap that nothing closes
(aiokafka never bumps the epoch). Rows of one partition are sent as one batch at a time, and a row
whose key was in another topic of the log before waits for that one, so that what is acknowledged of a
log is always a prefix of every key.

A batch that Kafka refuses for what is in it is sent again by halves, until the one row is found.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from chassis import clock, spans, tracing
from chassis.kafka import Cluster, make_producer, partition_of, start, stop_within
from chassis.message import OutboxRow
from chassis.outbox.refusals import OF_A_ROW, OF_A_TOPIC, UnwritableError

OutboxRows = Sequence[tuple[str, OutboxRow]]
SendResult = tuple[list[str], BaseException | None]
PROBE_S: Final = 1.0
"""So long a topic may take to be found that was not there, or forbidden, before."""
WAVES_S: Final = 1.0
"""After so long no other wave begins: a relay that leads no more has then sent its last batch soon."""


@dataclass
class Sender:
    """`name` is what brokers and logs know the producer by.

    `ordered` are the topics over which a key's order is kept, all where it names none.
    After `publish`, `refused` holds the rows that Kafka never takes, by id, and `shut` the topics that
    can't be written just now, each with the error. Neither is an error of the send.
    """

    cluster: Cluster
    name: str
    send_timeout_s: float = 15.0
    ordered: frozenset[str] = frozenset()
    refused: dict[str, BaseException] = field(default_factory=dict)
    shut: dict[str, BaseException] = field(default_factory=dict)
    _suspects: list[tuple[str, int, OutboxRows]] = field(default_factory=list)
    producer: Any = None

    async def publish(self, rows: OutboxRows) -> SendResult:
        """Send rows, by topic and partition; returns the acknowledged ids and the first error.

        Where Kafka is slow, some are left for the next time: whoever calls looks whether it leads still.
        """
        doubtful, self.refused, self.shut = set(self.shut), {}, {}
        done: list[str] = []
        error: BaseException | None = None
        held: set[str] = set()
        until = clock.monotonic() + WAVES_S
        for wave in waves(rows, self.ordered):
            if done and clock.monotonic() > until:
                break
            some = [(id_, row) for id_, row in wave if row.key not in held]
            sent, error = await self._publish_wave(some, doubtful) if some else ([], None)
            done += sent
            if error is not None:
                break
            acknowledged = set(sent)
            held.update(row.key for id_, row in wave if id_ not in acknowledged)
        return done, error

    async def _publish_wave(self, rows: OutboxRows, doubtful: set[str]) -> SendResult:
        self._suspects = []
        producer = await self._live_producer()
        by_topic: dict[str, list[tuple[str, OutboxRow]]] = {}
        for id_, row in rows:
            by_topic.setdefault(row.topic, []).append((id_, row))
        within = {
            topic: PROBE_S if topic in doubtful else self.send_timeout_s for topic in by_topic
        }
        send = self._send_traced if tracing.is_on() else self._send_topic
        sends = [send(producer, t, some, within[t]) for t, some in by_topic.items()]
        sent = [await sends[0]] if len(sends) == 1 else await asyncio.gather(*sends)
        done = [id_ for some, _ in sent for id_ in some]
        failed = ((topic, e) for topic, (_, e) in zip(by_topic, sent, strict=True) if e is not None)
        error = next((e for topic, e in failed if not done or topic not in self.shut), None)
        if error is None and self._suspects:
            error = await self._isolate(done)
        if self.shut or self.refused:
            await self.drop_producer()
        return done, error

    async def _send_traced(
        self, producer: Any, topic: str, rows: OutboxRows, within_s: float
    ) -> SendResult:
        span = spans.send(self.name, topic, [row for _, row in rows])
        done, error = await self._send_topic(producer, topic, rows, within_s)
        if span is not None:
            if failure := error or self.shut.get(topic):
                spans.fail(span, spans.error_type_of(failure))
            span.end()
        return done, error

    async def _send_topic(
        self, producer: Any, topic: str, rows: OutboxRows, within_s: float = 0
    ) -> SendResult:
        """A topic that Kafka lacks or forbids holds up no other."""
        done: list[str] = []
        errors: list[BaseException] = []
        try:
            async with asyncio.timeout(within_s or self.send_timeout_s):
                known = tuple(sorted(await producer.partitions_for(topic)))
            split: dict[int, list[tuple[str, OutboxRow]]] = {}
            for id_, row in rows:
                split.setdefault(partition_of(row.key.encode(), known), []).append((id_, row))
            waiting: dict[int, OutboxRows] = dict(split)
            while waiting and not errors and topic not in self.shut:
                waiting = await self._send_first(producer, topic, waiting, done, errors)
        except OF_A_TOPIC as error:
            self.shut[topic] = error
        except Exception as error:  # noqa: BLE001 - the caller drops the producer
            errors.append(error)
            if isinstance(
                error, TimeoutError
            ):  # it may be this topic alone that is not to be found
                self.shut[topic] = error
        return done, errors[0] if errors else None

    async def _send_first(
        self,
        producer: Any,
        topic: str,
        waiting: dict[int, OutboxRows],
        done: list[str],
        errors: list[BaseException],
    ) -> dict[int, OutboxRows]:
        """Send what fits into one batch of each partition; returns the rows that are left."""
        sent: dict[asyncio.Future[Any], tuple[int, OutboxRows]] = {}
        left: dict[int, OutboxRows] = {}
        try:
            async with asyncio.timeout(self.send_timeout_s):
                for partition, rows in waiting.items():
                    batch, taken = _batch_of(producer, rows)
                    if not taken:
                        self._suspects.append((topic, partition, rows[:1]))
                        continue
                    future = await producer.send_batch(batch, topic, partition=partition)
                    sent[future] = partition, rows[:taken]
                    if taken < len(rows):
                        left[partition] = rows[taken:]
                if sent:
                    await asyncio.wait(sent)
        except Exception as error:  # noqa: BLE001 - what is acknowledged until then counts all the same
            errors.append(error)
        for future, (partition, rows) in sent.items():
            if not future.done() or future.cancelled():
                future.cancel()
                errors.append(ConnectionError("the producer gave no answer"))
            elif (refusal := future.exception()) is None:
                done.extend(id_ for id_, _ in rows)
            elif isinstance(refusal, OF_A_TOPIC):
                self.shut[topic] = refusal
            elif isinstance(refusal, OF_A_ROW):
                self._suspects.append((topic, partition, rows))
                left.pop(partition, None)  # what follows waits until it is known who was refused
            else:
                errors.append(refusal)
        return left

    async def _isolate(self, done: list[str]) -> BaseException | None:
        """Batches that were refused, by halves and in order; what is behind a refused row of its key waits.

        Each refusal takes a new producer. Returns the first error that is no refusal of a row.
        """
        for topic, partition, rows in self._suspects:
            held: set[str] = set()
            parts = [rows]
            while parts:
                if not (some := [each for each in parts.pop() if each[1].key not in held]):
                    continue
                refusal = await self._refusal_of(topic, partition, some)
                if refusal is None:
                    done.extend(id_ for id_, _ in some)
                elif not isinstance(refusal, OF_A_ROW):
                    return refusal
                elif len(some) == 1:
                    self.refused[some[0][0]] = refusal
                    held.add(some[0][1].key)
                else:
                    half = len(some) // 2
                    parts += [some[half:], some[:half]]
        return None

    async def _refusal_of(
        self, topic: str, partition: int, rows: OutboxRows
    ) -> BaseException | None:
        """Send rows as one batch, by a new producer; what became of it."""
        await self.drop_producer()
        try:
            producer = await self._live_producer()
            batch, taken = _batch_of(producer, rows)
            if taken < len(rows):
                return UnwritableError("it is larger than a batch, or no record can be made of it")
            async with asyncio.timeout(self.send_timeout_s):
                await (await producer.send_batch(batch, topic, partition=partition))
        except Exception as error:  # noqa: BLE001 - the caller tells refusals from other errors
            return error
        return None

    async def _live_producer(self) -> Any:
        if self.producer is None:
            producer = make_producer(self.cluster, self.name)
            try:
                async with asyncio.timeout(self.send_timeout_s):
                    await start(producer, self.cluster)
            except BaseException:
                await stop_within(producer, 2)
                raise
            self.producer = producer
        return self.producer

    async def drop_producer(self) -> None:
        if self.producer is not None:
            producer, self.producer = self.producer, None
            await stop_within(producer, 2)


def waves(
    rows: OutboxRows, ordered: frozenset[str] = frozenset()
) -> list[list[tuple[str, OutboxRow]]]:
    """Rows in as few parts as have each key in one topic: one after the other, they keep its order.

    Where `ordered` names topics, rows of others go first, as nobody compares their order with these.
    """
    found: list[list[tuple[str, OutboxRow]]] = []
    last: dict[str, tuple[int, str]] = {}
    for id_, row in rows:
        number = 0
        if not ordered or row.topic in ordered:
            number, topic = last.get(row.key, (0, row.topic))
            number += row.topic != topic
            last[row.key] = number, row.topic
        if number == len(found):
            found.append([])
        found[number].append((id_, row))
    return found


def _batch_of(producer: Any, rows: OutboxRows) -> tuple[Any, int]:
    """The first rows that fit into one batch, and how many they are; 0 if the first can't be written."""
    batch, taken = producer.create_batch(), 0
    for _, row in rows:
        try:
            fits = batch.append(
                key=row.key.encode(), value=row.value, timestamp=None, headers=row.headers
            )
        except (TypeError, ValueError):  # a header that is no text, say: it waits to be the first
            break
        if fits is None:
            break
        taken += 1
    batch.close()
    return batch, taken
