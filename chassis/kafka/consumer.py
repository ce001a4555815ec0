"""Reads the neighbours' topics in batches; the offsets are committed after the transaction.

aiokafka's traps, and what is done here: getmany is never cancelled (a record handed out and lost
would be skipped); any error of it throws the client away (it may have dropped records of other
partitions); no progress is noticed from outside (a client can hang for ever after a broker's
restart); a rebalance runs beside the handler (the inbox and the row versions keep that harmless).
"""

import asyncio
import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import ConsumerStoppedError, KafkaError

from chassis import clock, crashpoints, spans
from chassis.dead_letters import place_of, unreadable
from chassis.errors import StoreLostError, TransientError
from chassis.handle import Handler
from chassis.health import Health
from chassis.kafka import records
from chassis.kafka.access import missing_right, start
from chassis.kafka.clients import make_consumer, stop_within, unread
from chassis.kafka.cluster import Cluster
from chassis.kafka.held_back import HeldBack
from chassis.kafka.lag import Fetched, Lag
from chassis.kafka.membership import Membership, SessionTimeout, is_too_short
from chassis.kafka.outcomes import report
from chassis.kafka.partitions import learn_partitions, starts_of
from chassis.kafka.permitted import hidden_topics, no_right_to
from chassis.kafka.refused import REFUSALS, NotLetInError, reason_of
from chassis.message import Message, Record
from chassis.metrics import LAG, LAG_SECONDS, REBUILDS
from chassis.pace import Pace
from chassis.service import Service
from chassis.store import Positions
from chassis.tasks import CutOffError, own_cancellation_only

log = structlog.get_logger()
MISSES_MAX: Final = 2
CONFLICTS_USUAL: Final = 3
"""A batch that another instance was faster with is decided anew; more tries than that are a failure."""


@dataclass
class Consumer:
    """One consumer group member. The `wake` events are set after each commit."""

    service: Service
    handler: Handler
    store: Positions
    cluster: Cluster
    batch_records: int = 500
    poll_ms: int = 200
    commit_every_s: float = 0.5
    stall_s: float = 20.0
    session_timeout: SessionTimeout = field(default_factory=SessionTimeout)
    wake: tuple[asyncio.Event, ...] = ()
    pace: Pace = field(default_factory=Pace)
    rebuilds: int = 0
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    health: Health = field(init=False)
    away: str = ""
    """Why Kafka could not be asked, "" if it answered the last time."""
    skipped: frozenset[records.RecordPosition] = frozenset()
    """What a person has this service step over."""
    failures: int = 0
    """Clients in a row that failed before they handled anything."""
    handled: int = 0  # batches, by the client that is at work
    session: "ConsumerSession | None" = None
    _misses: int = 0

    def __post_init__(self) -> None:
        self.health = Health(self.service.name)

    @property
    def given_up_s(self) -> float:
        """A client that gets no poll back for so long is replaced: later where sessions are longer.

        The group waits as long for a member that died: else no client lives long enough to be assigned.
        """
        return self.stall_s + 3 * self.session_timeout.longer_by_s

    async def lag(self, seconds: float = 2.0) -> int | None:
        """Records of this instance's partitions not yet handled; None when Kafka does not answer."""
        if self.session is None or not self.ready.is_set():
            return None
        try:
            with own_cancellation_only():
                async with asyncio.timeout(seconds):
                    return await self.session.lag.count(self.session.client)
        except (KafkaError, ConsumerStoppedError, CutOffError, TimeoutError):
            return None

    async def measure(self) -> None:
        """Set the gauges of the lag, NaN if it is unknown; one miss may be a rebalance."""
        lag = await self.lag()
        oldest_s = self.session.lag.oldest_s if self.session else 0.0
        LAG.labels(self.service.name).set(math.nan if lag is None else lag)
        LAG_SECONDS.labels(self.service.name).set(math.nan if lag is None else oldest_s)
        if lag is not None:
            self._misses, self.away = 0, ""
        elif self.ready.is_set():
            self._misses += 1
            if self._misses >= MISSES_MAX:
                self.away = self.away or "it does not say where its topics end"

    def stalled(self) -> str:
        """In words, that no poll has come back for long; "" where that is not so."""
        session = self.session
        quiet_s = clock.monotonic() - session.polled_at if session and self.ready.is_set() else 0.0
        return f"no poll came back for {quiet_s:.0f} s" if quiet_s > self.given_up_s / 2 else ""

    def forbidden(self) -> str:
        """In words, what it may not read; "" where it may read all. The rest is read meanwhile."""
        reads = self.session if self.ready.is_set() else None
        return no_right_to(hidden_topics(reads.client)) if reads else ""

    async def look_for_skips(self) -> None:
        """Learn what a person has marked since; while the store is away, what is known stays."""
        with contextlib.suppress(TransientError):
            self.skipped = await self.store.skipped()

    async def run(self, stopping: asyncio.Event) -> None:
        """Consume until told to stop, with a new client whenever one fails."""
        while not stopping.is_set():
            await self.look_for_skips()
            self.handled = 0
            try:
                with own_cancellation_only():
                    session = self.session = ConsumerSession(self, stopping)
                    await session.run()
            except Exception as error:  # noqa: BLE001 - the records are in Kafka still: start again
                self._note(error)
                pause_s = clock.backoff_s(self.failures, base_s=0.2, max_s=3.0)
                await clock.wait_for(stopping, pause_s)

    def _note(self, error: Exception) -> None:
        """Say why a client failed. What Kafka forbids stays forbidden, whatever was read before."""
        if is_too_short(error):
            self.session_timeout.refused()
            return
        cause = error if isinstance(error, NotLetInError) else error.__cause__ or error
        cause = missing_right(cause, self.cluster, "read") or cause
        is_refused = isinstance(cause, REFUSALS)
        self.failures = self.failures + 1 if self.handled == 0 or is_refused else 1
        self.rebuilds += 1
        REBUILDS.labels(self.service.name).inc()
        why = reason_of(cause if is_refused else error)
        log.warning("consumer_rebuilt", error=why, failures=self.failures)
        if isinstance(cause, KafkaError | TimeoutError | OSError):
            self.away = reason_of(cause)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka carries no types
    def __init__(self, session: "ConsumerSession") -> None:
        self.session = session

    async def on_partitions_revoked(self, _revoked: Any) -> None:
        self.session.membership.look()
        self.session.assigned.clear()
        self.session.held.parts.clear()  # whoever has the partitions next reads them again
        await self.session.commit()

    async def on_partitions_assigned(self, assigned: Any) -> None:
        self.session.membership.look()
        try:
            await self.session.seek(assigned)
        except Exception as error:  # noqa: BLE001 - aiokafka would log it and go on unassigned
            self.session.failure = error


class ConsumerSession:
    """The life of one client."""

    def __init__(self, consumer: Consumer, stopping: asyncio.Event) -> None:
        self.of = consumer
        self.stopping = stopping
        name, session = consumer.service.name, consumer.session_timeout
        self.client: Any = make_consumer(consumer.cluster, name, session.seconds)
        self.membership = Membership(self.client, session)
        self.assigned = asyncio.Event()
        self.done: dict[TopicPartition, int] = {}
        self.held = HeldBack(consumer.service.projections, consumer.batch_records)
        self.assignments = 0
        self.lag = Lag()
        self.traced = spans.Reader(name)
        self.committed_at = self.polled_at = self.received_at = clock.monotonic()
        self.stalled = ""
        self.given_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.failure: Exception | None = None

    async def run(self) -> None:
        watchdog: asyncio.Task[None] | None = None
        try:
            await self.of.store.prepare(self.stopping)
            async with asyncio.timeout(30):
                await start(self.client, self.of.cluster)
            self.client.subscribe(await self.topics(), listener=_Listener(self))
            watchdog = asyncio.create_task(self._watch())
            while not self.stopping.is_set():
                await self.turn()
            await self.commit()
        except Exception as error:
            raise RuntimeError(self.stalled or repr(error)) from error
        finally:
            if watchdog is not None:
                watchdog.cancel()
            self.of.ready.clear()
            self.of.health.clear("batch_failing")
            self.done.clear()  # a client that is slow to stop must not speak for the next one
            await stop_within(self.client, 5)

    async def topics(self) -> list[str]:
        """With those of an earlier layout that a store has to read again that was set back in time.

        It may have lost what it decided on them before that was published.
        """
        service, store = self.of.service, self.of.store
        topics = {*service.topics}
        if store.keeps_positions and service.left_topics:
            kept = await store.positions()
            topics |= set(await unread(self.of.cluster, service.name, service.left_topics, kept))
        return sorted(topics)

    async def turn(self) -> None:
        if self.failure is not None:
            raise self.failure
        if self.of.store.lost:
            raise StoreLostError("the store's data are not those that were read")
        batches = await self._polled()
        self.polled_at = clock.monotonic()
        if self.assigned.is_set():
            self.of.ready.set()
        elif self.of.store.keeps_positions:
            return  # fetched before the store's positions were set: read again from there
        if batches:
            self.received_at = self.polled_at
        due = self.held.due(batches, self.polled_at)
        self.lag.taken(due or self.held.parts)
        if due:
            await self._handle(due)
            await self.of.pace.handled(sum(map(len, due.values())))
        if clock.monotonic() - self.committed_at > self.of.commit_every_s:
            await self.commit()

    async def _polled(self) -> Mapping[TopicPartition, list[Any]]:
        """What getmany hands out. A client that was given up may never answer, not even when stopped.

        It waits for an assignment without end; what it has taken, the next client reads again.
        """
        self.traced.polls()
        taken = self.client.getmany(timeout_ms=self.of.poll_ms, max_records=self.of.batch_records)
        polling: asyncio.Future[Any] = asyncio.ensure_future(taken)
        either: set[asyncio.Future[Any]] = {polling, self.given_up}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not polling.done():
            polling.cancel()
            raise RuntimeError(self.stalled)
        batches: Mapping[TopicPartition, list[Any]] = polling.result()
        return batches

    async def _handle(self, batches: Fetched) -> None:
        taken = [
            Record(r.topic, r.partition, r.offset, r.key, r.value, tuple(r.headers))
            for part in batches.values()
            for r in part
        ]
        self.traced.received(taken)
        await self.until_handled(taken)
        self.lag.handled(batches)
        crashpoints.reached(crashpoints.HANDLED)
        self.of.handled += 1
        for place, part in batches.items():
            self.done[place] = part[-1].offset + 1

    async def until_handled(self, taken: list[Record]) -> None:
        """A server that is away holds the batch up; nothing is parked or skipped for that."""
        store, tries = self.of.store, 0
        while not self.stopping.is_set() or tries == 0:
            try:
                found = await self._sorted(taken)
                if found.projected:
                    found.messages += await records.projected(store.project, found.projected)
                await self.decide(found.messages)
            except StoreLostError:
                raise
            except TransientError as error:
                tries += 1
                log.warning("batch_retried", error=str(error), tries=tries)
                if tries > CONFLICTS_USUAL:
                    self.of.health.report("batch_failing", f"{tries} tries: {error}")
                await clock.wait(clock.backoff_s(tries, base_s=0.02, max_s=2.0))
                await self.of.look_for_skips()
                self.polled_at = self.received_at = clock.monotonic()
            else:
                self.of.health.clear("batch_failing")
                return
        raise RuntimeError("stopped with a batch that could not be handled")

    async def _sorted(self, taken: list[Record]) -> records.Sorted:
        """A topic may just have grown, which whoever publishes may know before this client does."""
        of = (self.of.service, taken, self._partitions, self.of.skipped)
        found = records.sort(*of)
        if not found.any_astray:
            return found
        await learn_partitions(self.client)
        return records.sort(*of)

    def _partitions(self, topic: str) -> int:
        """How many a topic has, by the client's metadata; 0 when it has none yet."""
        return len(self.client.partitions_for_topic(topic) or ())

    async def decide(self, messages: list[Message]) -> None:
        if not messages:
            return
        started = clock.monotonic()
        outcomes = await self.of.handler.handle(messages)
        report(self.of.service.name, messages, outcomes, clock.monotonic() - started)
        for event in self.of.wake:
            event.set()

    async def commit(self) -> None:
        """Tell Kafka what is done; when that fails, the inbox removes what comes again."""
        self.committed_at = clock.monotonic()
        mine, assignments = self.client.assignment(), self.assignments
        offsets = {place: offset for place, offset in self.done.items() if place in mine}
        self.done.clear()
        if offsets:
            try:
                reached = {(p.topic, p.partition): offset for p, offset in offsets.items()}
                with self.traced.settling():
                    async with asyncio.timeout(5):
                        await self.of.store.reached(reached)
                        await self.client.commit(offsets)
            except (KafkaError, TransientError, TimeoutError) as error:
                if assignments == self.assignments:  # else another may have gone further since
                    self.done = offsets | self.done
                log.info("commit_unknown", error=repr(error))

    async def seek(self, assigned: set[TopicPartition]) -> None:
        """Where the store keeps the positions, they count: a store set back in time heals itself."""
        self.done.clear()
        self.held.parts.clear()
        self.assignments += 1
        if self.of.store.keeps_positions:
            starts = await starts_of(self.of.store, self.client, sorted(assigned))
            for place, position in starts.items():  # at once: what is polled in between is dropped
                self.client.seek(place, position)
                if position:
                    self.done[place] = position  # so that Kafka's lag tells the truth
        await self._step_over(assigned)
        log.info("partitions_assigned", count=len(assigned))
        self.assigned.set()

    async def _step_over(self, assigned: set[TopicPartition]) -> None:
        """A client that got nowhere may not even be able to hand out what a person wants skipped.

        Then there are no bytes to keep: the dead letter has the place alone.
        """
        for topic, partition, offset in sorted(self.of.skipped) if self.of.failures else ():
            place = TopicPartition(topic, partition)
            if place in assigned:
                at = self.done.get(place) or await self.client.committed(place) or 0
                if at == offset:
                    record = place_of(Record(topic, partition, offset, None, None, ()))
                    await self.decide([unreadable(record, records.SKIPPED)])
                    self.client.seek(place, offset + 1)
                    self.done[place] = offset + 1

    async def _watch(self) -> None:
        """Notice a client that hangs, and one that reads nothing though there is something."""
        misses = 0
        while True:
            await clock.wait((stall_s := self.of.given_up_s) / 4)
            self.membership.rejoin_if_calm(now := clock.monotonic())
            if now - self.polled_at > stall_s:
                await self._give_up("no poll came back")
                return
            if now - self.received_at < stall_s / 2:
                misses = 0
                continue
            try:
                async with asyncio.timeout(stall_s / 4):
                    lag = await self.lag.count(self.client)
                misses = misses + 1 if lag else 0
            except Exception:  # noqa: BLE001 - the answer is what is asked for, not its error
                misses += 1
            if misses >= 3:  # noqa: PLR2004 - one miss may be a rebalance
                await self._give_up("nothing read for long, though something is there")
                return

    async def _give_up(self, why: str) -> None:
        self.stalled = why
        await stop_within(self.client, 5)
        self.given_up.set_result(None)
