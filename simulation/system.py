"""A whole system in one process: two instances of each service, their servers, and the world outside.

A run has two parts: while faults are on, nothing may go wrong; when they are over, all must settle.
"""

import asyncio
import gc
from collections import Counter
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from hashlib import blake2b
from typing import Any, Final

import chassis.outbox.relay
import chassis.redis.database
from chassis import clock
from chassis.bus import Committed
from chassis.events import type_of
from chassis.message import PendingEffect
from chassis.process import runtime
from chassis.process.settings import FastPath
from chassis.service import Provider, Service
from chassis.topic_layout import TopicLayout
from guarantees.declared import service_of
from guarantees.services import BY_NAME
from shared_events.catalog import DELIVERY_DETAILS, PAYMENT_DETAILS
from shipping_svc import domain as shipping
from simulation import machine, nodes, verdict
from simulation.broker import Broker
from simulation.checks import Watch, pieces_in
from simulation.database import Database, Transaction
from simulation.kafka_clients import connected_to
from simulation.loop import SimulatedLoop, StandstillError
from simulation.moving import LayoutMove
from simulation.nemesis import Nemesis
from simulation.nodes import IN_DATABASES, SERVICES
from simulation.operator import Operator
from simulation.plan import FAST_PATHS, Plan
from simulation.process import Process, close_loop, current
from simulation.providers import Ledger, bank, carrier, looking_up
from simulation.redis_client import RedisClients
from simulation.redis_server import RedisServer
from simulation.shop import Shop
from simulation.step_faults import StepFaults

INSTANCES: Final = 2
LINGER_S: Final = 3.0
"""So long do the faults go on when the last order is placed, unless all is settled before."""


@dataclass
class SimulatedSystem:
    plan: Plan
    keep_log: bool = False
    loop: SimulatedLoop = field(init=False)
    log: list[str] = field(default_factory=list)
    watch: Watch = field(default_factory=Watch)
    running: dict[str, Process] = field(default_factory=dict)
    ended: list[Process] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    cells: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    switches: Counter[tuple[FastPath, bool]] = field(default_factory=Counter)
    """How many processes started with a fast path on, and how many with it off."""
    layouts: Counter[TopicLayout] = field(default_factory=Counter)
    """How many processes started with each."""
    bugs: list[str] = field(default_factory=list)
    """Programming errors that the code caught and logged, each as one line."""
    outside: Context = field(default_factory=Context)
    """What no process's end may stop runs here."""
    names: tuple[str, ...] = tuple(f"{s}-{n}" for n in range(INSTANCES) for s in SERVICES)
    """Of all processes, whether they run or not."""

    def __post_init__(self) -> None:
        self.digest = blake2b(digest_size=16)
        self.loop = SimulatedLoop(self.plan.random("schedule"), 400_000 + 40_000 * self.plan.orders)
        self.faults = StepFaults(self.plan, self)
        self.choice = self.plan.random("world")
        self.fast_paths_choice = self.plan.random("fast paths")
        self.broker = Broker()
        self.broker.fault_of = self.faults.of
        self.broker.on_append.append(self._appended)
        self.redis = RedisServer()
        self.redis.request = self.redis.reply = self.faults.redis
        self.databases = {name: self._database(name) for name in IN_DATABASES}
        self.bank = Ledger("bank", self.faults.carry, watch=self.watch.money)
        self.carrier = Ledger("carrier", self.faults.carry, watch=self.watch.bookings)
        self.providers: dict[str, Provider] = {
            provider.name: provider
            for provider in (
                bank(self.bank, looking_up(self.databases["payment"], PAYMENT_DETAILS)),
                carrier(self.carrier, looking_up(self.databases["shipping"], DELIVERY_DETAILS)),
            )
        }
        self.services: dict[str, Service] = {}
        self.shop = Shop(self)
        self.nemesis = Nemesis(self)
        self.operator = Operator(self)
        self.move = LayoutMove(self)
        dispatch_after = timedelta(seconds=self.choice.choice((1.0, 5.0, 600.0)))
        self.policies = {"shipping": shipping.Policy(dispatch_after=dispatch_after)}

    def report(self, what: str) -> None:
        """One line of the run's log, which is the same for the same plan, byte for byte."""
        process = current.get()
        name = process.name if process is not None else "world"
        line = f"{self.loop.now_s:.6f} {name} {what}"
        self.digest.update(line.encode() + b"\n")
        if self.keep_log:
            self.log.append(line)

    def run(self) -> None:
        """Raises ViolationError for the first guarantee that is broken."""
        choice = self.plan.random("production")
        asyncio.set_event_loop(self.loop)
        try:
            places = (
                *machine.places_of(self.loop, choice, self.faults.passed),
                (chassis.redis.database, "Redis", RedisClients(self.redis)),
                (chassis.outbox.relay, "release_references", lambda _error: None),  # memory only
            )
            with machine.replaced(*places), connected_to(self.broker):
                self.loop.run_until_complete(self._watched())
        except StandstillError as error:
            self.watch.broken("G1", str(error))
        finally:
            asyncio.set_event_loop(None)
        if self.bugs:
            self.watch.broken("I11", self.bugs[0])
        if self.watch.violations:
            raise self.watch.violations[0]

    async def _watched(self) -> None:
        """The story, until its end or the first violation."""
        story = asyncio.create_task(self._story())
        while not story.done() and not self.watch.violations:
            await asyncio.wait([story], timeout=0.25)
        if story.done():
            await story

    async def _story(self) -> None:
        self._start_missing()
        await self.shop.open()
        self.faults.begin()
        operating = [asyncio.create_task(work) for work in (self.operator.run(), self.move.run())]
        await asyncio.gather(self.shop.trade(), self.nemesis.rage())
        await self._settled_within(LINGER_S)
        if "inbox-pruned" in self.plan.faults:  # once more when most orders are in their last state
            for service in SERVICES:
                self.nemesis.forget(service)
        self._heal()
        await self._settle()
        for work in operating:
            work.cancel()
        verdict.check(self)

    def _heal(self) -> None:
        self.report("the faults are over")
        self.faults.end()
        self.broker.down = self.redis.down = False
        self.held.clear()
        for process in list(self.running.values()):
            self.resume(process)
        self._start_missing()

    async def _settle(self) -> None:
        settle_s = self.plan.settle_s
        if unsettled := await self._settled_within(settle_s):
            self.watch.broken("G1", f"not settled after {settle_s:.0f} s: {unsettled}")

    async def _settled_within(self, seconds: float) -> str:
        """What is not settled by then."""
        until = self.loop.now_s + seconds
        while (unsettled := verdict.unsettled(self)) and self.loop.now_s < until:
            await clock.wait(0.5)
        return unsettled

    # processes

    def start(self, name: str) -> None:
        service = name.partition("-")[0]
        if service in self.held or name in self.running:
            return
        skew_s = 0.0
        if (intensity := self.plan.faults.get("clock-skew")) and not self.faults.is_over:
            skew_s = self.choice.uniform(-2.0, 2.0) * intensity
            self.faults.hits["clock-skew"] += 1
        if (intensity := self.plan.faults.get("clock-wrong")) and not self.faults.is_over:
            skew_s += self.choice.choice((-600.0, -120.0, 120.0, 600.0)) * intensity
            self.faults.hits["clock-wrong"] += 1
        process = self.running[name] = Process(name, service, skew_s)
        self.loop.create_task(self._main(process), context=process.context)

    async def _main(self, process: Process) -> None:
        name = process.service
        service = self._counted(service_of(name, self.policies.get(name)))
        provider = self.providers.get(BY_NAME[name].provider)
        self.services.setdefault(name, service)
        fast_paths = self.plan.fast_paths_of(self.fast_paths_choice)
        self.switches.update((path, path in fast_paths) for path in FAST_PATHS)
        database, layout = self.databases.get(name), self.move.layout_of(process.name)
        self.layouts[layout] += 1
        try:
            process.node = await nodes.node_of(service, database, provider, fast_paths, layout)
            process.node.core.bus.committed.append(partial(self.on_decided, name))
            failed = await runtime.work(process.node, {})
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends a process
            failed = True
            self.report(f"{process.name} failed: {error!r}")
            self.bugs += machine.bug_in(error)
        if failed:
            self.watch.broken("G1", f"a part of {process.name} failed")
        process.die()
        self._gone(process)

    def _counted(self, service: Service) -> Service:
        """The service, with a count of which state met which message."""
        decide, cells, with_shared = service.decide, self.cells, service.combined is not None

        def counted(state: Any, message: Any, at: datetime) -> Any:
            own = state[0] if with_shared else state
            cells[service.name, type(own).__name__, type(message).__name__] += 1
            return decide(state, message, at)

        return replace(service, decide=counted)

    def on_decided(self, service: str, event: Committed) -> None:
        self.watch.decided(service, event.messages, event.result.outcomes)

    def _statement(self, service: str, name: str) -> Awaitable[None]:
        process = current.get() if name == "pending" else None
        if process is not None and process.node is not None:
            leader = self.databases[service].leader
            self.watch.relays(service, process.name, leads=leader is process.node.store)
        return self.faults.statement(service, name)

    def cut(self, process: Process) -> None:
        """SIGKILL, or the end of its power."""
        process.die()
        database = self.databases.get(process.service)
        if database is not None and process.node is not None:
            database.crashed(process.node.store)
        self._gone(process)

    def _gone(self, process: Process) -> None:
        self.ended.append(process)
        if self.running.get(process.name) is process:
            del self.running[process.name]
            delay_s = self.choice.uniform(0.2, 3.0)
            self.loop.call_later(delay_s, self.start, process.name, context=self.outside)

    def resume(self, process: Process) -> None:
        if process.alive and not process.runs:
            self.loop.resume(process)

    def stop(self, process: Process) -> None:
        if process.node is not None:
            process.node.stopping.set()

    def hold(self, service: str, *, down: bool) -> None:
        """Let no process of a service run, or let them run again."""
        if not down:
            self.held.discard(service)
            self._start_missing()
            return
        self.held.add(service)
        for process in self.processes(service):
            self.cut(process)

    def _start_missing(self) -> None:
        for name in self.names:
            self.start(name)

    def processes(self, service: str = "") -> list[Process]:
        return [p for p in self.running.values() if p.alive and service in {"", p.service}]

    def reachable(self, service: str) -> Process | None:
        ready = [p for p in self.processes(service) if p.node is not None]
        return self.choice.choice(ready) if ready else None

    # what happens

    def _database(self, name: str) -> Database:
        database = Database(statement=partial(self._statement, name))
        database.on_commit.append(partial(self._committed, name))
        return database

    def _committed(self, service: str, transaction: Transaction) -> None:
        # a row that is set aside, or tried again, is no new decision
        known, written = transaction.before["outbox"], transaction.after["outbox"]
        rows = [entry.row for id_, entry in written.items() if id_ not in known]
        if rows:
            types = [f"{type_of(row.headers)} {row.key}" for row in rows]
            self.report(f"committed {', '.join(types)}")
            self.watch.committed_rows(service, rows)
            self.watch.copies(service, rows, self.databases[service].parked.keys())
        self._check_outstanding(service, transaction)
        if service == "inventory" and transaction.after["shared"]:
            received = [(row.key, pieces) for row in rows if (pieces := pieces_in(row))]
            self.watch.levels(transaction.after["shared"], received)

    def _check_outstanding(self, name: str, transaction: Transaction) -> None:
        service, database = self.services[name], self.databases[name]
        keys = {effect.key for effect in transaction.before["effects"].values()}
        kept: dict[str, list[PendingEffect]] = {
            key: [] for key in keys | transaction.after["own"].keys() if key in database.own
        }
        for effect in database.effects.values() if kept else ():
            if effect.key in kept:
                kept[effect.key].append(effect)
        for key, effects in kept.items():
            self.watch.outstanding(service, key, database.own[key].state, effects)

    def _appended(self, records: Sequence[Any]) -> None:
        for record in records:
            key = (record.key or b"").decode()
            place = f"{record.topic}/{record.partition}:{record.offset}"
            self.report(f"appended {place} {type_of(record.headers)} {key}")
            self.watch.appended(record)

    def dispose(self) -> None:
        close_loop(self.loop, self._left_tasks(), vars(self).clear)

    def _left_tasks(self) -> Iterator["asyncio.Task[Any]"]:
        """One by one: a list of them would keep all from the collector."""
        for process in (*self.ended, *self.running.values()):
            process.held.clear()
            yield from process.tasks


@contextmanager
def simulated(plan: Plan, *, keep_log: bool = False) -> Iterator[SimulatedSystem]:
    """A system, of which nothing is left.

    It is made when all that is there already is out of the collector's sight, so that all of it is
    collected at the end, and nothing else is looked through.
    """
    gc.disable()
    gc.freeze()
    try:
        system = SimulatedSystem(plan, keep_log)
        try:
            yield system
        finally:
            system.dispose()
    finally:
        gc.unfreeze()
        gc.enable()
