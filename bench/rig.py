"""What is measured: real servers, the services as processes, and loads from a process beside them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import uvloop
from pydantic_core import to_json

from bench import fleet
from bench.meters import Groups, Usage, metered
from bench.plan import TOKEN, LoadPlan, stock
from bench.report import REPORT, LoadReport
from chassis.kafka import KEEP_FOR_EVER, PARTITIONS, Cluster, ensure_topics
from saga_cli.log.reader import LANES
from saga_cli.stack import servers, watchdog
from saga_cli.stack.issuer import bearer
from saga_cli.stack.services import Services
from saga_cli.topology import SERVICES

QUIET_S: Final = 0.5
"""Until the stock of the last orders is committed, and their parcels are noted."""
FIGURES: Final = ("settled/s", "p50 ms", "p99 ms", "CPU us an order")
PrintLine = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Measured:
    """A load, what it cost, and the clock's reading at its start."""

    report: LoadReport
    usage: Usage
    started: float

    @property
    def cpu_us(self) -> dict[str, float]:
        """Microseconds of CPU an order, by process."""
        orders = max(self.report.accepted, 1)
        return {name: spent / orders * 1e6 for name, spent in self.usage.cpu_s.items()}

    @property
    def cpu_us_in_all(self) -> float:
        return sum(self.cpu_us.values())

    @property
    def figures(self) -> tuple[float, float, float, float]:
        """Of the columns FIGURES."""
        settled = self.report.end_to_end
        return self.report.settled_per_s, settled.p50_ms, settled.p99_ms, self.cpu_us_in_all

    @property
    def bytes_each(self) -> dict[str, float]:
        orders = max(self.report.accepted, 1)
        return {name: count / orders for name, count in self.usage.bytes.items()}


class Generator:
    """The process of one load."""

    def __init__(self, plan: LoadPlan, kafka: Cluster) -> None:
        command = [sys.executable, "-m", "bench.load", to_json(plan).decode()]
        env = {**os.environ, **kafka.variables("SAGA"), TOKEN: bearer()["Authorization"]}
        self.process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)  # noqa: S603 - no shell: this bench
        watchdog.watch(pid=self.process.pid)
        self.started = float(self._line("started"))

    def until_placed(self) -> float:
        """Wait until every order is answered; the seconds that it took."""
        return float(self._line("placed"))

    def report(self) -> LoadReport:
        """Raises RuntimeError where the generator failed; its stderr has the reason."""
        line = self._read()
        if line.startswith("placed"):
            line = self._read()
        self.process.wait()
        return REPORT.validate_json(line)

    def _line(self, word: str) -> str:
        name, _, value = self._read().partition(" ")
        assert name == word, f"the generator wrote {name!r} instead of {word!r}"
        return value

    def _read(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the load generator ended with {self.process.wait()}")
        return line.strip()


@dataclass
class BenchRig:
    servers: servers.Servers
    services: Services
    extra: Mapping[str, str] = field(default_factory=dict)
    runs: int = 0

    def groups(self) -> Groups:
        """Whatever runs, by service and server."""
        instances = self.services.instances
        by_service = {
            spec.name: [i.process.pid for i in instances if i.spec is spec] for spec in SERVICES
        }
        return by_service | {server.name: [server.pid] for server in self.servers.all}

    def start(self) -> None:
        """One more process of each service, ready. Raises RuntimeError with the end of its log."""
        started = [self.services.start(spec.name, self.extra) for spec in SERVICES]
        self.services.await_ready(started)

    def stop_services(self) -> None:
        self.services.stop()
        self.services.instances.clear()

    def load(self, meanwhile: Callable[[Generator], None] | None = None, **asked: Any) -> Measured:
        """Run a load to its end, metered; `meanwhile` is done when it has begun."""
        self.runs += 1
        urls = tuple(instance.url for instance in self.services.of("order"))
        with metered(self.groups, self.servers.addresses, self.servers.folder) as usage:
            plan = LoadPlan(urls=urls, seed=self.runs, **asked)
            generator = Generator(plan, self.servers.addresses.kafka)
            if meanwhile:
                meanwhile(generator)
            report = generator.report()
            time.sleep(QUIET_S)
        usage.cpu_s["generator"] = report.cpu_s
        return Measured(report, usage, generator.started)


@contextmanager
def running(
    *,
    partitions: int = PARTITIONS,
    extra: Mapping[str, str] | None = None,
    secured: bool = False,
    brokers: int = 1,
    instances: int = 1,
) -> Iterator[BenchRig]:
    """New servers, empty, with the services and a shop; nothing is left of them.

    Of several brokers each has a copy of everything, and `instances` are processes of each service.

    Raises MissingProgramError, RuntimeError or httpx.HTTPError.
    """
    with ExitStack() as held:
        several = fleet.brokers(held, brokers) if brokers > 1 else ()
        made = servers.start(None, several, secured=secured)
        held.callback(made.stop)
        rig = BenchRig(made, Services(made.addresses, made.folder), extra or {})
        held.callback(rig.services.stop)
        topics = dict.fromkeys(LANES, (partitions, KEEP_FOR_EVER))
        uvloop.run(ensure_topics(made.addresses.kafka, topics))
        for _ in range(instances):
            rig.start()
        stock(rig.services)
        yield rig
