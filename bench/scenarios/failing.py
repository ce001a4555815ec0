"""How long orders wait when a process, a relay or a broker of a replicated system fails, or is restarted."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import uvloop

from bench import fleet
from bench.pauses import FailureWindow, Pause, orders_of, pause_of
from bench.plan import LoadPhase
from bench.rig import BenchRig, Generator, Measured, running
from bench.session import Bench
from bench.static_member import VARIABLE
from bench.tables import Table
from chassis.kafka import PARTITIONS
from saga_cli.log.reader import LANES, records
from saga_cli.stack.processes import ChildProcess
from saga_cli.stack.watched_redis import WatchedRedis
from saga_cli.topology import BY_NAME, SERVICES, Addresses
from saga_cli.verify.reconcile import settled
from shared_events.catalog import CATALOG

BROKERS: Final = 3
RATE: Final = 40.0
"""Orders a second: enough that each partition has several, far below what two cores can carry."""
BEFORE_S: Final = 3.0
MORE_S: Final = 6.0
"""Beyond a session, until orders have settled again for some seconds."""
BROKER_S: Final = 15.0
FEW: Final = ("order", "payment", "loyalty")
"""Enough to compare sessions: of services in PostgreSQL and in Redis, and of the one with customers."""
GROWN: Final = PARTITIONS + 3
"""No multiple: most keys move, also to partitions that were there before."""
STATIC_S: Final = 30
SETTLE_S: Final = 60.0
WARM: Final = 400
ALL: Final = frozenset(range(PARTITIONS))
Act = Callable[[], object]


@dataclass(frozen=True, slots=True)
class FailedPart:
    """What was done under load, how long orders waited for it, and the load's report."""

    what: str
    session_s: float
    pause: Pause
    measured: Measured

    @property
    def row(self) -> tuple[Any, ...]:
        report, pause = self.measured.report, self.pause
        times = (pause.again_s, pause.slowest_s, pause.slowest_elsewhere_s, pause.silent_s)
        shown = ("-" if seconds is None else seconds for seconds in times)
        lost = report.offered - report.accepted
        return self.what, self.session_s, *shown, lost, report.unsettled


@dataclass(frozen=True, slots=True)
class Failover:
    """`violations` are what the books of all services disagree about afterwards, by session timeout."""

    rate: float
    failures: Sequence[FailedPart]
    violations: Mapping[str, Sequence[str]]

    def table(self) -> Table:
        columns = (
            *("what", "session s", "settles again s", "slowest there s", "slowest elsewhere s"),
            *("no event for s", "not accepted", "lost"),
        )
        title = f"Fail-over on {BROKERS} brokers at {self.rate:.0f} orders/s"
        return Table(title, columns, [failure.row for failure in self.failures])


@dataclass(slots=True)
class Noted:
    """A failure whose window is known, and whose pause is in the log still."""

    what: str
    service: str
    window: FailureWindow
    measured: Measured


def failover(bench: Bench) -> Failover:
    """Processes with each session timeout; brokers, and static members, with the last."""
    rate = bench.options.rate or RATE
    found: list[FailedPart] = []
    violations: dict[str, Sequence[str]] = {}
    for session_s in bench.options.sessions:
        is_last = session_s == bench.options.sessions[-1]
        with system(bench, session_s) as rig, ExitStack() as held:
            trial = FailureTrial(bench, rig, rate, session_s, held, rig.servers.addresses)
            killed = [name for name in bench.options.services if is_last or name in FEW]
            noted = [*trial.of_processes(killed), *(trial.of_the_rest() if is_last else ())]
            violations[f"{session_s:g} s"] = uvloop.run(_violations(trial.addresses))
            found += _with_pauses(rig, session_s, noted)
    for name, broken in violations.items():
        bench.print_line(f"failover: session {name}: {len(broken)} violations {broken[:3] or ''}")
    return Failover(rate, found, violations)


@contextmanager
def system(bench: Bench, session_s: float) -> Iterator[BenchRig]:
    """New, with several brokers and two processes of each service, and warm."""
    bench.close()
    extra = {f"{spec.prefix}_SESSION_TIMEOUT_S": f"{session_s:g}" for spec in SERVICES}
    bench.print_line(f"starting {BROKERS} brokers, PostgreSQL, Redis, two processes a service")
    with running(extra=extra, brokers=BROKERS, instances=2) as rig:
        rig.load(orders=min(WARM, bench.options.orders), in_flight=32)
        yield rig


@dataclass(slots=True)
class FailureTrial:
    """One system under load after load, in each of which one thing fails."""

    bench: Bench
    rig: BenchRig
    rate: float
    session_s: float
    held: ExitStack
    addresses: Addresses
    """Where the books are in the end."""

    def of_processes(self, names: Sequence[str]) -> Iterator[Noted]:
        """Of services the process whose relay leads is killed; one service is restarted in turn."""
        for name in names:
            yield self._killed(name)
        yield from self._rolled("payment", "restarted")

    def of_the_rest(self) -> Iterator[Noted]:
        for which in ("follower", "controller"):
            yield self._broker_killed(which)
        yield self._grown("payment")
        self._make_static("payment")
        yield from self._rolled("payment", "restarted, static")
        yield self._redis_killed()

    def _killed(self, name: str) -> Noted:
        victim = fleet.leading(self.rig.services.of(name)).process
        noted = self._failing(f"{victim.name} killed", name, victim.kill, self.session_s + MORE_S)
        self._bring_back(victim)
        return noted

    def _rolled(self, name: str, how: str) -> Iterator[Noted]:
        for instance in self.rig.services.of(name):
            act = partial(_restart, instance.process)
            what = f"{instance.process.name} {how}"
            yield self._failing(what, name, act, self.session_s + MORE_S)
            self.rig.services.await_ready([instance])

    def _broker_killed(self, which: str) -> Noted:
        servers = self.rig.servers
        leads, named = fleet.controller(servers), ""
        names = [f"kafka-{number}" for number in range(1, BROKERS + 1)]
        named = leads if which == "controller" else next(n for n in names if n != leads)
        cluster = servers.addresses.kafka
        groups = [s.name for s in SERVICES if fleet.coordinator(cluster, s.name) == named]
        what = f"{named} killed ({which}, of {len(groups)} groups)"
        noted = self._failing(what, "", servers.named(named).kill, BROKER_S)
        servers.restart(servers.named(named))
        fleet.await_replicas(cluster)
        return noted

    def _grown(self, name: str) -> Noted:
        topics = CATALOG.lanes_of(name)
        grow = partial(fleet.grow, self.rig.servers.addresses.kafka, topics, GROWN)
        what = f"topics of {name} grown to {GROWN} partitions"
        return self._failing(what, "", grow, BROKER_S)

    def _redis_killed(self) -> Noted:
        """Loyalty moves to a pair of Redis, which it fills from the log; then the primary dies."""
        services, spec = self.rig.services, BY_NAME["loyalty"]
        pair = WatchedRedis.started(self.held, self.rig.servers.folder)
        for old in services.of("loyalty"):
            old.process.stop()
            services.instances.remove(old)
        for _ in range(2):
            places = pair.variables(spec.prefix, spec.redis_database or 0)
            services.start("loyalty", {**self.rig.extra, **places})
        services.await_ready(services.of("loyalty"))
        noted = self._failing("primary of Redis killed", "", pair.primary.kill, BROKER_S)
        self.addresses = replace(self.addresses, redis_url=pair.replica_url)
        return noted

    def _make_static(self, name: str) -> None:
        """Its processes again, as static members."""
        services, spec = self.rig.services, BY_NAME[name]
        for old in services.of(name):
            old.process.stop()
            services.instances.remove(old)
        static = replace(spec, package="bench.static_member")
        for number in (1, 2):
            member = {VARIABLE: f"{spec.module} {name}-{number} {STATIC_S}"}
            services.start_one(static, {**self.rig.extra, **member})
        services.await_ready(services.of(name))

    def _bring_back(self, process: ChildProcess) -> None:
        process.start()
        services = self.rig.services
        services.await_ready([i for i in services.instances if i.process is process])

    def _failing(self, what: str, service: str, act: Act, lasts_s: float) -> Noted:
        """Load, and something that fails meanwhile; which partitions that was the reader of."""
        self.bench.print_line(f"failover: {what}, session {self.session_s:g} s")
        before = self._members(service)
        at = [0.0]

        def fail(generator: Generator) -> None:
            time.sleep(max(0.0, generator.started + BEFORE_S - time.monotonic()))
            at[0] = time.time()
            act()

        phase = LoadPhase(self.rate, BEFORE_S + lasts_s)
        measured = self.rig.load(fail, phases=(phase,), warm_s=1.0)
        gone = before.keys() - self._members(service).keys()
        lost = frozenset[int]().union(*(before[member] for member in gone)) if service else ALL
        window = FailureWindow(at[0] - BEFORE_S / 2, at[0], at[0] + lasts_s, lost)
        return Noted(what, service, window, measured)

    def _members(self, service: str) -> fleet.Assigned:
        return fleet.members(self.rig.servers.addresses.kafka, service) if service else {}


def _restart(process: ChildProcess) -> None:
    process.stop()
    process.start()


async def _violations(addresses: Addresses) -> Sequence[str]:
    return (await settled(addresses, (), SETTLE_S)).violations


def _with_pauses(rig: BenchRig, session_s: float, noted: Sequence[Noted]) -> list[FailedPart]:
    cluster, own = rig.servers.addresses.kafka, CATALOG.lanes_of
    log = uvloop.run(records(cluster, LANES))
    orders = orders_of(record for record in log if record.topic in own("order"))
    found = []
    for each in noted:
        topics = own(each.service) if each.service else LANES
        published = [record.timestamp / 1000 for record in log if record.topic in topics]
        pause = pause_of(each.window, orders, published)
        found.append(FailedPart(each.what, session_s, pause, each.measured))
    return found
