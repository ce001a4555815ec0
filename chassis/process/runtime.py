"""One process of a service: HTTP, consumer, relay and effect worker on one event loop."""

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import structlog
import uvloop
from fastapi import FastAPI
from pydantic import ValidationError
from pydantic_settings import BaseSettings
from starlette.types import ASGIApp

from chassis import audit, clock
from chassis.commands import Commands
from chassis.effects import Circuit, CircuitState, EffectWorker, itself
from chassis.errors import (
    AccessError,
    CannotStartError,
    FormerLayoutError,
    LogLostError,
    SecretError,
    TransientError,
    UnusableStoreError,
)
from chassis.health import Condition, Health
from chassis.http import ACCEPTED_LATER, Gate, HttpServer, allow_origins, bound, listen
from chassis.kafka import (
    Consumer,
    await_topics,
    ensure_topics,
    reading,
    reason_of,
    topics_of,
    unread,
)
from chassis.measuring import StepMeasures, show_backlog, show_build
from chassis.outbox import Relay
from chassis.pace import LONE, Pace
from chassis.process import logs, retention
from chassis.process.access import OnlyPages, gate_of, watch_issuer
from chassis.process.fast_paths import Core, core_of
from chassis.process.settings import ProcessSettings, ServiceSettings, TracingSettings
from chassis.service import Provider, Service
from chassis.store import Inspection, Store

log = structlog.get_logger()
MEASURE_S: Final = 2.0
STAGE_S: Final = 12
"""Each of the two stages of a stop takes at most so many seconds, the first one the drain besides."""
UNASSIGNED: Final = "no partitions are assigned yet"
S = TypeVar("S", bound=BaseSettings)
BackgroundTask = Callable[[asyncio.Event], Coroutine[Any, Any, None]]


@dataclass
class Node:
    """The parts of one process, made by `assemble`."""

    service: Service
    settings: ServiceSettings
    store: Store
    operations: Inspection
    core: Core
    consumer: Consumer
    relay: Relay
    commands: Commands
    circuits: list[Circuit] = field(default_factory=list)
    extras: dict[str, BackgroundTask] = field(default_factory=dict)
    measures: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """Of the service's own: each sets gauges of what is in the store."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    started_at: datetime = field(default_factory=clock.now)
    health: Health = field(init=False)
    gate: Gate = field(init=False)
    _refused: str = ""
    _away: str = ""
    _denied: str = ""

    def __post_init__(self) -> None:
        """Every part tells one `health` what fails."""
        self.health = self.consumer.health = self.relay.health = Health(self.service.name)
        watch, consumer = self.health.watch, self.consumer
        stopping = self.stopping.is_set
        watch("store_away", lambda: self._away, blocking=True)
        watch("store_denied", lambda: self._denied, blocking=True)
        watch("shutting_down", lambda: "shutting down" if stopping() else "", blocking=True)
        watch("kafka_away", lambda: consumer.away)
        watch("kafka_forbidden", consumer.forbidden)
        watch("consumer_unassigned", lambda: "" if consumer.ready.is_set() else UNASSIGNED)
        watch("consumer_stalled", consumer.stalled)
        watch("relay_failing", lambda: self.relay.failing)
        watch("outbox_rows_refused", lambda: self._refused)
        watch("circuit_open", self._open_circuits)
        self.gate, keys = gate_of(self.service.name, self.settings)
        if keys is not None:
            self.extras["issuer"] = keys.run
            watch_issuer(self.health, keys)

    def _open_circuits(self) -> str:
        why = [
            f"{c.provider}: {c.why}" for c in self.circuits if c.state is not CircuitState.CLOSED
        ]
        return "; ".join(why)

    async def conditions(self) -> tuple[Condition, ...]:
        """What fails now, after a look at the store."""
        self._away = self._denied = ""
        try:
            await self.measure()
        except (AccessError, SecretError) as error:
            self._denied = f"the store refuses us: {error}"
        except (TransientError, TimeoutError) as error:
            self._away = f"the store is away: {str(error) or 'no answer'}"
        return self.health.now()

    async def measure(self) -> None:
        """Set the gauges of what waits in the store. Raises TransientError or TimeoutError."""
        async with asyncio.timeout(3):
            backlog = await self.store.backlog()
            for measure in self.measures:
                await measure()
        refused = backlog.outbox_refused
        self._refused = f"{refused} rows of the outbox, which Kafka never takes" if refused else ""
        show_backlog(self.service, backlog)


def assemble(
    service: Service,
    settings: ServiceSettings,
    store: Store,
    operations: Inspection,
    provider: Provider | None = None,
) -> Node:
    """Raises ValueError where the provider runs an effect of a name that the service does not store."""
    kinds = frozenset(provider.runners) if provider else frozenset[str]()
    if unknown := kinds - service.effects.keys():
        raise ValueError(f"{service.name} stores no effects as {', '.join(sorted(unknown))}")
    service = replace(service, layout=settings.topic_layout)
    core = core_of(service, store, kinds, settings.fast_paths)
    relay = _relay_of(service, settings, core)
    pace = partial(Pace, settings.batch_every_ms / 1000)
    wake, workers = (relay.wake,), dict[str, EffectWorker]()
    worker_of = partial(EffectWorker, service, core.handler, store, woken_by=wake)
    circuits: list[Circuit] = []
    if provider is not None:
        circuits.append(circuit := Circuit(service.name, provider.name))
        workers["effects"] = worker_of(
            provider.runners,
            circuit,
            provider.concurrency,
            provider.timeout_s,
            pace=pace(),
            local=core.effects,
        )
    if service.timers:
        timers, circuit = dict.fromkeys(service.timers, itself), Circuit(service.name, "timers")
        workers["timers"] = worker_of(timers, circuit, concurrency=200, pace=pace())
    for worker in workers.values():
        core.bus.committed.append(worker.committed)
        core.bus.sent.append(worker.sent)
        core.bus.acknowledged.append(worker.acknowledged)
    core.bus.committed += [StepMeasures(service).committed, audit.committed]
    member = partial(Consumer, session_timeout=settings.new_session_timeout())
    consumer = member(service, core.handler, store, settings.kafka, wake=wake, pace=pace())
    commands = Commands(core.handler, woken_by=wake, pace=pace())
    extras: dict[str, BackgroundTask] = {name: worker.run for name, worker in workers.items()}
    logged = audit.LoggedInspection(operations)
    return Node(service, settings, store, logged, core, consumer, relay, commands, circuits, extras)


def _relay_of(service: Service, settings: ServiceSettings, core: Core) -> Relay:
    given = (core.outbox, settings.kafka, service.name, core.bus, frozenset(service.log_topics))
    return Relay(
        *given,
        pace=Pace(settings.send_every_ms / 1000, lone=LONE),
        idle_poll_s=settings.outbox_look_ms / 1000,
        send_timeout_s=settings.send_timeout_s,
    )


async def run(node: Node, app: FastAPI) -> None:
    """Serve until SIGTERM or SIGINT; then finish what is in hand and stop."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, node.stopping.set)
    node.gate.report()
    show_build(node.service.name, node.service.version)
    with listening(app, node.service.name, node.settings) as (servers, sockets):
        await _serve(node, servers, sockets)


@contextmanager
def listening(
    app: FastAPI, name: str, settings: ProcessSettings
) -> Iterator[tuple[dict[str, HttpServer], dict[str, list[socket.socket]]]]:
    """Its servers and their sockets, by what is served there; none of them listens yet."""
    allow_origins(app, settings.http_cors_origins)
    ports: dict[str, tuple[ASGIApp, int]] = {"http": (app, settings.http_port)}
    if settings.http_admin_port is not None:
        ports["http"] = (OnlyPages(app, pages=False), settings.http_port)
    if settings.http_admin_port:
        ports["http_admin"] = (OnlyPages(app, pages=True), settings.http_admin_port)
    with ExitStack() as held:
        sockets = {
            port: held.enter_context(bound(settings.http_host, number))
            for port, (_, number) in ports.items()
        }
        servers = {port: HttpServer(served, name, settings) for port, (served, _) in ports.items()}
        yield servers, sockets


async def _serve(
    node: Node, servers: Mapping[str, HttpServer], sockets: Mapping[str, list[socket.socket]]
) -> None:
    parts: dict[str, BackgroundTask] = {
        name: partial(server.serve_until, sockets=sockets[name]) for name, server in servers.items()
    }
    await refuse_what_is_lost(node)
    _spare_the_collector()
    ports = {f"{name}_port": listen(own, ACCEPTED_LATER) for name, own in sockets.items()}
    log.info("started", **ports, pid=os.getpid())
    if await work(node, {**parts, "retention": partial(retention.run, node.store, node.health)}):
        raise SystemExit(1)


def _spare_the_collector() -> None:
    """Modules live for ever, and a batch dies by its counts: to look for cycles took a fourth of the CPU."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


async def refuse_what_is_lost(node: Node) -> None:
    """An empty store under a log that is not: to begin anew would decide twice on every saga.

    Raises UnusableStoreError.
    """
    topics, failures = node.service.log_topics, 0
    while not node.stopping.is_set():
        try:
            if not await node.store.is_new():
                return
            async with reading(node.settings.kafka, topics) as published:
                is_empty = not await published.ahead()
            if is_empty or not await node.store.is_new():  # whoever published has committed first
                return
        except Exception as error:  # noqa: BLE001 - whichever is away: nothing is begun unknowing
            failures += 1
            log.warning("log_or_store_away", error=reason_of(error), failures=failures)
            await clock.wait_for(node.stopping, clock.backoff_s(failures, max_s=3.0))
        else:
            how = f"rebuild it first: `saga replay {node.service.name} --in-place`"
            raise UnusableStoreError(f"its database is empty, but its log is not; {how}")


async def work(node: Node, more: Mapping[str, BackgroundTask]) -> bool:
    """Run all parts of a process until it is told to stop; says whether one of them failed."""
    feeding: dict[str, BackgroundTask] = {
        "consumer": partial(_consume, node),
        "gauges": partial(_measure, node),
    }
    named: dict[str, BackgroundTask] = {**more, **feeding, **node.extras}
    parts = [asyncio.create_task(part(node.stopping), name=name) for name, part in named.items()]
    drain = asyncio.Event()  # the relay and the commands outlive those who feed them
    last = [
        asyncio.create_task(node.commands.run(drain), name="commands"),
        asyncio.create_task(node.relay.run(drain), name="relay"),
    ]
    stop = asyncio.create_task(node.stopping.wait(), name="stop")
    await asyncio.wait([stop, *parts, *last], return_when=asyncio.FIRST_COMPLETED)
    log.info("stopping")
    node.stopping.set()
    failed = await ended(parts, STAGE_S + node.settings.http_drain_s)
    drain.set()
    failed |= await ended(last, STAGE_S)
    await node.store.close()
    log.info("stopped")
    return failed


async def ended(tasks: list[asyncio.Task[None]], seconds: float) -> bool:
    """Wait for tasks to end; says whether one failed or had to be cut off."""
    done, pending = await asyncio.wait(tasks, timeout=seconds)
    for task in pending:
        log.warning("cut_off", part=task.get_name())
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    failures = [task for task in done if task.exception() is not None]
    for task in failures:
        log.error("part_failed", part=task.get_name(), error=repr(task.exception()))
    return bool(failures)


async def _consume(node: Node, stopping: asyncio.Event) -> None:
    await prepare_topics(node)
    await node.consumer.run(stopping)


async def _measure(node: Node, stopping: asyncio.Event) -> None:
    """What waits and what fails shows in the metrics although nobody asks for health."""
    while not stopping.is_set():
        await node.conditions()
        await node.consumer.measure()
        logs.flush()
        await clock.wait_for(stopping, MEASURE_S)


async def prepare_topics(node: Node) -> None:
    """Make this service's topics and wait for its neighbours'; a broker that is away is waited for."""
    failures = 0
    while not node.stopping.is_set():
        try:
            made = topics_of(node.service)
            there = await ensure_topics(node.settings.kafka, made, partial(_check_log, node))
            await _refuse_unread(node, node.service.left_topics & there)
            node.consumer.away = ""
            await await_topics(node.settings.kafka, node.service.topics, node.stopping)
        except Exception as error:  # noqa: BLE001 - whatever it is, without topics there is no start
            failures += 1
            node.consumer.away = reason_of(error)
            log.warning("kafka_away", error=node.consumer.away, failures=failures)
            await clock.wait_for(node.stopping, clock.backoff_s(failures, max_s=3.0))
        else:
            return


async def _check_log(node: Node, missing: set[str], there: set[str]) -> None:
    """A topic that is gone is made by who puts its events back, not empty by who may publish next."""
    own, events = node.service.own_topics, there.intersection(node.service.log_topics)
    if missing & own and await node.store.keeps_any():
        if (former := sorted(events - own)) and not events & own:
            raise FormerLayoutError(f"its events are in {former[0]}: {_move(node, 'former')}")
        how = f"put it back: `saga republish {node.service.name}`"
        raise LogLostError(f"{', '.join(sorted(missing))}: published to and gone; {how}")


async def _refuse_unread(node: Node, former: set[str]) -> None:
    """Who reads lanes alone would never decide on what waits in the topics of before."""
    cluster, name = node.settings.kafka, node.service.name
    if former and (waiting := await unread(cluster, name, sorted(former))):
        topic, count = min(waiting.items())
        raise FormerLayoutError(f"{count} of {topic} are not read: {_move(node, 'moving')}")


def _move(node: Node, layout: str) -> str:
    return f"start it with {node.service.name.upper()}_TOPIC_LAYOUT={layout} first"


def start(settings_type: type[ProcessSettings], name: str, main: Callable[[Any], Any]) -> None:
    """All of each service's entry: settings, logs, traces, loop.

    A bad setting is one line and exit code 2; what else keeps it from starting is logged, and 1.
    """
    settings = _read(settings_type, name, name)
    traced = _read(TracingSettings, name, "otel_exporter_otlp")
    logs.configure(name, settings.log_level)
    if traced.endpoint:
        from chassis import span_export  # noqa: PLC0415 - only paid for where wanted

        wanted = isinstance(settings, ServiceSettings) and settings.trace_statements
        span_export.configure(name, statements=wanted)
    try:
        uvloop.run(main(settings))
    except CannotStartError as error:
        log.error("not_started", error=str(error))  # noqa: TRY400 - it says all there is to say
        raise SystemExit(error.code) from None
    except Exception:
        log.exception("failed")  # one line of JSON, whatever it is
        raise SystemExit(1) from None
    finally:
        logs.flush(all_=True)


def _read(settings_type: type[S], name: str, prefix: str) -> S:
    """From the environment; what is wrong there is one line on stderr and exit code 2."""
    try:
        return settings_type()
    except ValidationError as error:
        wrong = [
            "_".join((prefix, *map(str, e["loc"][:1]))).upper() + f": {e['msg']}"
            for e in error.errors()
        ]
    sys.stderr.write(f"{name}-svc: {'; '.join(wrong)}\n")
    raise SystemExit(2)


def migrations_of(file: str) -> Path:
    return Path(file).parent / "migrations"
