"""The faults that meet single steps: a statement, a request, a call, a place in the code.

Each kind has its own stream of the seed and its own count of how often it hit.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Final

from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException, KafkaTimeoutError

from chassis import crashpoints
from chassis.errors import ProviderError, TransientError
from simulation.faults import Fault, RequestKind
from simulation.plan import FAULTS, Plan
from simulation.process import PowerCutError, Process, current

if TYPE_CHECKING:
    from simulation.system import SimulatedSystem

CRASHES: Final = {
    crashpoints.PUBLISHED: "crash-after-publish",
    crashpoints.HANDLED: "crash-before-offsets",
    crashpoints.LEASED: "crash-in-call",
    crashpoints.CALLED: "crash-in-call",
}
SLOW_S: Final = 0.4
SLOW_CALL_S: Final = 4.0
"""Most that each way to a slow provider takes: both together less than a caller waits."""
IDLE: Final = frozenset({"pending", "lease", "backlog", "lead", "parked_keys", "EVAL"})
"""What a process asks again and again although nothing has happened."""


@dataclass
class StepFaults:
    """`away` names what answers nothing now: a service's database, a provider, the broker, Redis."""

    plan: Plan
    system: "SimulatedSystem"
    hits: Counter[str] = field(default_factory=Counter)
    away: set[str] = field(default_factory=set)
    slow: set[str] = field(default_factory=set)
    read_only: set[str] = field(default_factory=set)
    lags: dict[TopicPartition, float] = field(default_factory=dict)
    steps: int = 0
    is_over: bool = True  # it begins when the shop is open
    streams: dict[str, Random] = field(init=False)
    _on: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.streams = {kind: self.plan.random(kind) for kind in (*FAULTS, "latency")}
        self.latency = self.streams["latency"].random

    def begin(self) -> None:
        self.is_over, self._on = False, self.plan.faults

    def end(self) -> None:
        self.is_over, self._on = True, {}
        self.away.clear()
        self.slow.clear()
        self.read_only.clear()
        self.lags.clear()

    def strikes(self, kind: str, chance: float) -> bool:
        """Whether a fault of this kind meets this step; `chance` is that of its full intensity."""
        intensity = self._on.get(kind)
        if intensity is None or self.streams[kind].random() >= chance * intensity:
            return False
        self.hits[kind] += 1
        return True

    def passed(self, place: str) -> None:
        """Stands for chassis.crashpoints.reached."""
        self._step(place)
        kind = CRASHES.get(place)
        process = current.get()
        if kind is not None and process is not None and self.strikes(kind, 0.02):
            self._die(kind, process)

    def _step(self, name: str) -> None:
        """One step of whoever runs: what comes after it may never happen."""
        process = current.get()
        if self.is_over or process is None or name in IDLE:
            return
        self.steps += 1
        if self.steps == self.plan.cut:
            self._die(f"cut at {name}", process)

    def _die(self, kind: str, process: Process) -> None:
        self.system.report(f"{kind} {process.name}")
        self.system.cut(process)
        raise PowerCutError(kind)

    async def statement(self, service: str, name: str) -> None:
        """Before each statement of a database; `committed` comes after the fact."""
        process = current.get()
        self._step(name)
        if service in self.away:
            await asyncio.sleep(0.05)
            raise TransientError("the database is away")
        if service in self.read_only and name == "commit":
            self.hits["read-only"] += 1
            raise TransientError("cannot execute it in a read-only transaction")
        if service in self.slow:
            self.hits["slow-service"] += 1
            await asyncio.sleep(SLOW_S * self.latency())
        elif name in {"commit", "enter", "pending"}:
            await self._takes(0.02)
        if process is None:
            return
        if name == "committed":
            if self.strikes("crash-after-commit", 0.01):
                self._die("crash-after-commit", process)
            if self.strikes("statement-error", 0.02):
                raise TransientError("the answer to the commit was lost")
        elif self.strikes("crash-before-commit", 0.002):
            self._die("crash-before-commit", process)
        elif self.strikes("statement-error", 0.005):
            raise TransientError("the connection was lost")

    async def _takes(self, seconds: float) -> None:
        """What a request takes: half of them nothing to speak of; at times very long."""
        if self.strikes("delay", 0.02):
            await asyncio.sleep(1.5 * self.latency())
        elif (drawn := self.latency()) > 0.5:  # noqa: PLR2004
            await asyncio.sleep(seconds * drawn)

    async def redis(self, what: str) -> None:
        """Before and after each request to Redis."""
        self._step(what)
        if "loyalty" in self.slow:
            self.hits["slow-service"] += 1
            await asyncio.sleep(SLOW_S * self.latency())
        await self._takes(0.01)
        process = current.get()
        if process is not None:
            if self.strikes("crash-after-commit", 0.003):
                self._die("crash-after-commit", process)
            if self.strikes("statement-error", 0.003):
                raise ConnectionError("the connection to Redis was lost")

    def of(self, kind: RequestKind, place: TopicPartition) -> Fault:
        """What meets a request to the broker; most of them nothing but a little time."""
        delay_s = 0.02 * self.latency()
        if self.strikes("delay", 0.01):
            delay_s = 1.5 * self.latency()
        match kind:
            case "produce" if self.strikes("ack-lost", 0.05):
                return Fault(delay_s, error=KafkaTimeoutError(), applied=True)
            case "commit" if self.strikes("offsets-lost", 0.2):
                applied = self.latency() < 0.5  # noqa: PLR2004
                return Fault(delay_s, error=KafkaTimeoutError(), applied=applied)
            case "fetch" if self.strikes("fetch-error", 0.01):
                return Fault(delay_s, error=CorruptRecordException())
            case "fetch" if (lag_s := self.lags.get(place)) is not None:
                return Fault(delay_s + lag_s)
        return Fault(delay_s)

    async def carry(self, party: str, what: str) -> None:
        """One way to a provider, or the way back when it has happened."""
        await self._called(party, what)
        if self.strikes("unknown-outcome", 0.1):
            await self._silence(party, what)

    async def _called(self, party: str, what: str) -> None:
        self._step(what)
        if party in self.away:
            self.hits["provider-away"] += 1
            await asyncio.sleep(0.2)
            raise ProviderError(f"{party} is away")
        if self.strikes("provider-slow", 1.0):
            await asyncio.sleep(SLOW_CALL_S * self.streams["provider-slow"].random())
        await self._takes(0.02)
        process = current.get()
        if process is not None and self.strikes("crash-in-call", 0.01):
            self._die("crash-in-call", process)

    async def _silence(self, party: str, what: str) -> None:
        """An error at once, a late answer, or none until the caller's patience is over."""
        drawn = self.streams["unknown-outcome"].random()
        if drawn < 0.5:  # noqa: PLR2004
            raise ProviderError(f"{party}: no answer to {what}")
        await asyncio.sleep(30.0 * drawn)
