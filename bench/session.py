"""One session of measuring: its options, the system that most scenarios share, and its capacity."""

import os
import platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import psutil

from bench.rig import BenchRig, PrintLine, running
from chassis.process.settings import FastPath
from saga_cli.topology import SERVICES

LOOK_S: Final = 1.0
QUIET_PERCENT: Final = 10.0


@dataclass(frozen=True, slots=True)
class Machine:
    """Figures of another one, or of a busy one, are other figures.

    `busy_percent` of its CPU was used by others before anything was started.
    """

    cores: int
    memory_gb: float
    system: str
    python: str
    busy_percent: float

    @property
    def is_quiet(self) -> bool:
        return self.busy_percent < QUIET_PERCENT


def this_machine() -> Machine:
    """Takes a second."""
    memory_gb = round(psutil.virtual_memory().total / 1e9, 1)
    about = (os.cpu_count() or 1, memory_gb, platform.platform(), platform.python_version())
    return Machine(*about, psutil.cpu_percent(LOOK_S))


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """`seconds` of each measurement, `orders` of each burst; `rate` stands for a capacity looked for."""

    seconds: float = 20.0
    warm_s: float = 3.0
    trial_s: float = 15.0
    trials: int = 5
    orders: int = 4000
    rate: float = 0.0
    backlog: int = 100_000
    sizes: tuple[int, ...] = (0, 1_000_000, 5_000_000)
    in_flight: tuple[int, ...] = (8, 64, 512, 4000)
    partitions: tuple[int, ...] = (1, 3, 6, 12)
    instances: int = 3
    pairs: int = 2
    services: tuple[str, ...] = tuple(spec.name for spec in SERVICES)
    fast_paths: tuple[FastPath, ...] = tuple(FastPath)
    sessions: tuple[float, ...] = (6.0, 2.0)


QUICK = BenchOptions(
    seconds=3.0,
    warm_s=1.0,
    trial_s=2.0,
    trials=3,
    orders=200,
    backlog=300,
    sizes=(0, 400),
    in_flight=(8, 64),
    partitions=(1, 3),
    instances=2,
    pairs=1,
    services=("payment",),
    fast_paths=(FastPath.LOCAL_WAITERS,),
    sessions=(2.0,),
)
"""Shows that everything works; its figures mean nothing."""


@dataclass
class Bench:
    options: BenchOptions
    print_line: PrintLine
    machine: Machine = field(default_factory=this_machine)
    per_s: float = 0.0
    """The capacity once it is known: orders a second."""
    _held: ExitStack = field(default_factory=ExitStack)
    _rig: BenchRig | None = None

    @property
    def rig(self) -> BenchRig:
        """Started when it is first asked for, and warm."""
        if self._rig is None:
            self._rig = self._held.enter_context(self.fresh())
        return self._rig

    @contextmanager
    def fresh(self, **wanted: Any) -> Iterator[BenchRig]:
        """A system of the scenario's own; what others shared is gone by then."""
        self.close()
        self.print_line("starting Kafka, PostgreSQL, Redis and all services, some 15 s")
        with running(**wanted) as rig:
            rig.load(orders=self.options.orders, in_flight=64)
            yield rig

    def close(self) -> None:
        self._rig = None
        self._held.close()
