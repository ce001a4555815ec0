"""The faults that come at a time of their own: deaths, pauses, outages, and rubbish in a topic."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, Final

from aiokafka import TopicPartition

from chassis import clock
from chassis.events import identity_of, type_of
from chassis.kafka import PARTITIONS, partition_of
from loyalty_svc.store import KEYS, LAYOUT
from shared_events.catalog import CATALOG
from simulation.hostile import copied, forged, is_rubbish
from simulation.nodes import IN_DATABASES, IN_REDIS, PROVIDERS, SERVICES
from simulation.partition import PartitionBatch
from simulation.process import Process
from simulation.rebuilding import rebuild

if TYPE_CHECKING:
    from simulation.system import SimulatedSystem

Strike = Callable[[Random], Awaitable[None]]
LED: Final = 1 / 3
"""The share of the partitions that one of three brokers leads."""


@dataclass
class Nemesis:
    system: "SimulatedSystem"
    strikes: dict[str, tuple[int, Strike]] = field(init=False)

    def __post_init__(self) -> None:
        self.strikes = {
            "duplicate": (20, self._duplicate),
            "reorder": (12, self._reorder),
            "kill": (10, self._kill),
            "restart": (5, self._restart),
            "pause": (4, self._pause),
            "partition": (4, self._partition),
            "rebalance": (15, self._rebalance),
            "two-relays": (8, self._two_relays),
            "provider-away": (3, self._provider_away),
            "broker-away": (2, self._broker_away),
            "database-away": (4, self._database_away),
            "database-lost": (2, self._database_lost),
            "slow-service": (3, self._slow_service),
            "redis-lost": (1, self._redis_lost),
            "redis-set-back": (3, self._redis_set_back),
            "redis-away": (2, self._redis_away),
            "service-stopped": (1, self._service_stopped),
            "rewound": (3, self._rewound),
            "inbox-pruned": (2, self._inbox_pruned),
            "poison": (4, self._poison),
            "hostile": (12, self._hostile),
            "read-only": (3, self._read_only),
            "row-refused": (16, self._row_refused),
            "topic-shut": (4, self._topic_shut),
            "copied": (12, self._copied),
            "broker-busy": (10, self._broker_busy),
        }

    async def rage(self) -> None:
        """All timed faults of the plan; those of different kinds overlap."""
        plan = self.system.plan
        async with asyncio.TaskGroup() as faults:
            for kind, (most, strike) in self.strikes.items():
                intensity = plan.faults.get(kind)
                if intensity is not None:
                    for number in range(max(1, round(most * intensity))):
                        choice = plan.random(f"{kind} {number}")
                        faults.create_task(self._at_its_time(kind, strike, choice))

    async def _at_its_time(self, kind: str, strike: Strike, choice: Random) -> None:
        await clock.wait(choice.uniform(0, self.system.plan.arrive_s + 2.0))
        self.system.faults.hits[kind] += 1
        await strike(choice)

    def _victim(self, choice: Random, service: str = "") -> Process | None:
        processes = self.system.processes(service)
        return choice.choice(processes) if processes else None

    async def _kill(self, choice: Random) -> None:
        if process := self._victim(choice):
            self.system.report(f"kill {process.name}")
            self.system.cut(process)

    async def _restart(self, choice: Random) -> None:
        if process := self._victim(choice):
            self.system.report(f"restart {process.name}")
            self.system.stop(process)

    async def _pause(self, choice: Random) -> None:
        if process := self._victim(choice):
            seconds = choice.choice((0.5, 3.0, 9.0, 15.0)) * choice.random()
            self.system.report(f"pause {process.name} for {seconds:.1f} s")
            process.pause()
            await clock.wait(seconds)
            self.system.resume(process)

    async def _partition(self, choice: Random) -> None:
        if process := self._victim(choice):
            seconds = choice.choice((1.0, 8.0, 30.0)) * choice.random()
            self.system.report(f"{process.name} does not reach Kafka for {seconds:.1f} s")
            process.connect(reachable=False)
            await clock.wait(seconds)
            process.connect(reachable=True)

    async def _rebalance(self, choice: Random) -> None:
        self.system.broker.group(choice.choice(SERVICES)).prepare()

    async def _two_relays(self, choice: Random) -> None:
        """Sessions of a database end; whoever led goes on until it notices."""
        service = choice.choice(IN_DATABASES)
        self.system.report(f"sessions of {service} end")
        self.system.databases[service].restart()

    async def _while_away(self, what: str, seconds: float) -> None:
        self.system.report(f"{what} is away for {seconds:.1f} s")
        await _member_for(seconds, self.system.faults.away, what)

    async def _provider_away(self, choice: Random) -> None:
        await self._while_away(choice.choice(PROVIDERS), choice.uniform(0.5, 15.0))

    async def _database_away(self, choice: Random) -> None:
        service = choice.choice(IN_DATABASES)
        self.system.databases[service].restart(is_crash=choice.random() < 0.5)  # noqa: PLR2004
        await self._while_away(service, choice.choice((0.0, 1.0, 8.0)))

    async def _database_lost(self, choice: Random) -> None:
        """Not of the order service: it may have acknowledged what its database alone held."""
        service = choice.choice([name for name in IN_DATABASES if name != "order"])
        is_still = False
        while not is_still:  # also of processes that died before, something may be on its way
            self.system.hold(service, down=True)
            await clock.wait(6.0 + choice.uniform(0.0, 10.0))
            is_still = not self.system.processes(service)
        self.system.report(f"{service} loses its database")
        rebuild(self.system, service)
        self._rewind(service)
        self.system.hold(service, down=False)

    async def _broker_away(self, choice: Random) -> None:
        await self._while_down(self.system.broker, "the broker", choice.uniform(0.5, 12.0))

    async def _while_down(self, server: Any, name: str, seconds: float) -> None:
        self.system.report(f"{name} is away for {seconds:.1f} s")
        server.down = True
        await clock.wait(seconds)
        server.down = False

    async def _slow_service(self, choice: Random) -> None:
        service = choice.choice(SERVICES)
        await _member_for(choice.uniform(0.5, 3.0), self.system.faults.slow, service)

    async def _redis_lost(self, _choice: Random) -> None:
        self.system.report("redis loses all")
        self.system.watch.forgetful.update(IN_REDIS)
        self.system.redis.flush()

    async def _redis_set_back(self, choice: Random) -> None:
        writes = min(choice.choice((1, 3, 20)), len(self.system.redis.log))
        self.system.report(f"redis loses its last {writes} writes")
        self.system.watch.forgetful.update(IN_REDIS)
        self.system.redis.restart(lost_writes=writes)

    async def _redis_away(self, choice: Random) -> None:
        await self._while_down(self.system.redis, "redis", choice.uniform(0.2, 5.0))

    async def _service_stopped(self, choice: Random) -> None:
        service = choice.choice(SERVICES)
        seconds = choice.uniform(5.0, 60.0)
        self.system.report(f"{service} is stopped for {seconds:.0f} s")
        self.system.hold(service, down=True)
        await clock.wait(seconds)
        self.system.hold(service, down=False)

    async def _duplicate(self, choice: Random) -> None:
        """A record again, as a producer leaves it that sends once more what it sent."""
        place = self._a_partition(choice)
        if records := self.system.broker.log(*place):
            record = choice.choice(records)
            self._append(place, record.key, record.value, record.headers)

    async def _reorder(self, choice: Random) -> None:
        """A partition, or all of its topic, is read late for a while, by everybody."""
        topic, partition = self._a_partition(choice)
        lag_s, seconds = choice.uniform(0.05, 1.0), choice.uniform(0.5, 4.0)
        late = self.system.broker.numbers_of(topic) if choice.random() < 0.5 else (partition,)  # noqa: PLR2004
        await self._read_late([TopicPartition(topic, number) for number in late], lag_s, seconds)

    async def _read_late(self, places: list[TopicPartition], lag_s: float, seconds: float) -> None:
        self.system.faults.lags.update(dict.fromkeys(places, lag_s))
        await clock.wait(seconds)
        for place in places:
            self.system.faults.lags.pop(place, None)

    async def _broker_busy(self, choice: Random) -> None:
        """It leads a share of each topic's partitions; so lanes that belong together lag differently."""
        broker = self.system.broker
        topics = [topic for owner in SERVICES for topic in self.system.move.topics_of(owner)]
        places = [TopicPartition(topic, n) for topic in topics for n in broker.numbers_of(topic)]
        led = [place for place in places if choice.random() < LED]
        lag_s, seconds = choice.uniform(1.0, 6.0), choice.uniform(2.0, 15.0)
        self.system.report(f"{len(led)} partitions are read {lag_s:.1f} s late")
        await self._read_late(led, lag_s, seconds)

    async def _rewound(self, choice: Random) -> None:
        self._rewind(choice.choice(SERVICES))

    def _rewind(self, service: str) -> None:
        """As an operator does it: stop the group, set its offsets, start it."""
        self.system.report(f"{service} reads everything again")
        for process in self.system.processes(service):
            self.system.cut(process)
        self.system.broker.group(service).offsets.clear()
        self.system.redis.data.values.pop(KEYS.offsets.encode(), None)

    async def _inbox_pruned(self, choice: Random) -> None:
        self.forget(choice.choice(SERVICES))

    def forget(self, service: str) -> None:
        """The service remembers its states, but not what it has decided on."""
        self.system.watch.forgetful.add(service)
        if service in IN_REDIS:
            for key, found in self.system.redis.data.values.items():
                if key.startswith(LAYOUT.own_key("").encode()):
                    for mark in [name for name in found if name.startswith(b"m:")]:
                        del found[mark]
            self.system.redis.log.clear()  # it can't take back what it did not do
        else:
            self.system.databases[service].inbox.clear()
        self._rewind(service)

    async def _poison(self, choice: Random) -> None:
        """Rubbish under the key of a living order; then an operator sees to it."""
        place = self._a_partition(choice)
        records = [r for r in self.system.broker.log(*place) if r.key]
        if not records:
            return
        key = choice.choice(records).key
        self.system.report(f"rubbish in {place.topic}/{place.partition} for {key.decode()}")
        self._append(place, key, b"\x00 rubbish", (("ce_type", b"rubbish"),))
        await clock.wait(choice.uniform(0.5, 4.0))

    async def _hostile(self, choice: Random) -> None:
        """A forged record of a living order; then an operator sees to it."""
        place = self._a_partition(choice)
        records = [r for r in self.system.broker.log(*place) if not is_rubbish(r)]
        if len({record.key for record in records}) > 1:
            record = choice.choice(records)
            other = choice.choice([r for r in records if r.key != record.key])
            made = forged(choice, record, other)
            if made.is_elsewhere:
                topic = self._foreign_topic(choice, record)
                place = TopicPartition(
                    topic, place.partition % len(self.system.broker.numbers_of(topic))
                )
            self.system.report(f"a forged record in {place.topic}/{place.partition}: {made}")
            self._append(place, made.key, made.value, made.headers)

    async def _copied(self, choice: Random) -> None:
        """What an order's event says once more, where or as its owner would never say it."""
        place = self._a_partition(choice)
        if records := [r for r in self.system.broker.log(*place) if not is_rubbish(r)]:
            made = copied(choice, choice.choice(records))
            if made.is_astray:
                place = TopicPartition(
                    place.topic, self._foreign_partition(choice, place.topic, made)
                )
            self.system.report(f"a copy in {place.topic}/{place.partition}: {made}")
            self._append(place, made.key, made.value, made.headers)

    async def _read_only(self, choice: Random) -> None:
        """As after a fail-over whose old primary lives on."""
        service = choice.choice(IN_DATABASES)
        self.system.report(f"{service}'s database takes no writes")
        await _member_for(choice.uniform(0.5, 8.0), self.system.faults.read_only, service)

    async def _row_refused(self, choice: Random) -> None:
        """Kafka never takes the next row of one order, until somebody has changed that."""
        log = self.system.broker.log(*self._a_partition(choice))
        if keys := sorted({record.key for record in log if record.key}):
            key = choice.choice(keys)
            self.system.report(f"the broker refuses what comes next of {key.decode()}")
            self.system.broker.refused.setdefault(key)
            await clock.wait(choice.uniform(2.0, 20.0))
            self.system.broker.refused.pop(key, None)

    def _a_partition(self, choice: Random) -> TopicPartition:
        topic = choice.choice(self.system.move.topics_of(choice.choice(SERVICES)))
        return TopicPartition(topic, choice.choice(self.system.broker.numbers_of(topic)))

    async def _topic_shut(self, choice: Random) -> None:
        topic = self._a_partition(choice).topic
        self.system.report(f"nobody may write {topic}")
        await _member_for(choice.uniform(0.5, 8.0), self.system.broker.shut, topic)

    def _foreign_topic(self, choice: Random, record: Any) -> str:
        """One in which the record's event never stands, and which its readers read, if it has any."""
        entry = CATALOG.by_type[identity_of(type_of(record.headers))]
        readers = [s for s in self.system.services.values() if entry.event in s.consumes]
        read = {topic for service in readers for topic in service.read_topics}
        read &= self.system.broker.topics.keys()
        own = set(self.system.move.topics_of(entry.owner))
        return choice.choice(sorted((read or own) - set(entry.topics)))

    def _foreign_partition(self, choice: Random, topic: str, record: Any) -> int:
        """One in which the key was never, however many there were."""
        there = self.system.broker.numbers_of(topic)
        numbers = range(min(PARTITIONS, len(there)), len(there) + 1)
        homes = {partition_of(record.key or b"", tuple(range(n))) for n in numbers}
        return choice.choice([number for number in there if number not in homes])

    def _append(self, place: TopicPartition, *record: Any) -> None:
        unsent = (int(clock.now().timestamp() * 1000), *record)
        self.system.broker.append(place, PartitionBatch([unsent], 1000))


async def _member_for(seconds: float, names: set[str], name: str) -> None:
    names.add(name)
    await clock.wait(seconds)
    names.discard(name)
