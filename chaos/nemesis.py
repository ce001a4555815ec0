"""Carries the plan out, a line for each fault, and mends what it broke."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from chaos.plan import TRACKS, PlannedFault, track_of
from chaos.proxy import Proxy
from chaos.rig import BROKERS, ChaosRig

LATENCY_S: Final = (0.2, 0.5)
RESET_EVERY_S: Final = 0.5
REPLICATED_S: Final = 10


@dataclass
class ChaosNemesis:
    rig: ChaosRig
    print_line: Callable[[str], None]
    done: Counter[str] = field(default_factory=Counter)

    async def run(self, faults: Sequence[PlannedFault], seconds: float) -> None:
        """All faults at their times; returns when the last has ended."""
        started = time.monotonic()
        turns = {track: asyncio.Lock() for track in range(len(TRACKS))}
        async with asyncio.TaskGroup() as tasks:
            for fault in faults:
                await asyncio.sleep(max(0.0, started + fault.at_s - time.monotonic()))
                tasks.create_task(self._in_turn(turns[track_of(fault)], fault, started + seconds))

    async def _in_turn(self, turn: asyncio.Lock, fault: PlannedFault, end: float) -> None:
        """The one before may take longer to mend than was planned; the end is the end."""
        async with turn:
            if time.monotonic() > end:
                self.print_line(f"too late for: {fault}")
                return
            self.print_line(str(fault))
            self.done[fault.kind] += 1
            await self._do(fault)

    async def _do(self, fault: PlannedFault) -> None:
        match fault.kind:
            case "kill":
                for name in fault.targets:
                    self.rig.kill(name)
            case "pause":
                await self._pause(fault)
            case "stop a service":
                await self._stop(fault)
            case "swizzle":
                await self._swizzle(fault)
            case "kill a broker" | "kill every broker":
                await self._kill_brokers(fault)
            case "cut off a broker":
                await self._cut_off(fault)
            case "kill postgres" | "kill redis":
                await self._kill_server(fault)
            case "partition" | "one-way partition" | "latency" | "resets" | "refuse":
                await self._break_links(fault)

    async def _pause(self, fault: PlannedFault) -> None:
        processes = [self.rig.instance(name).process for name in fault.targets]
        for process in processes:
            process.suspend()
        await asyncio.sleep(fault.lasts_s)
        for process in processes:
            process.resume()

    async def _stop(self, fault: PlannedFault) -> None:
        self.rig.kept_down |= set(fault.targets)
        for name in fault.targets:
            self.rig.kill(name)
        await asyncio.sleep(fault.lasts_s)
        self.rig.kept_down -= set(fault.targets)

    async def _break_links(self, fault: PlannedFault) -> None:
        links = self.rig.links_of(fault.targets, fault.ends)
        rng = _dice(fault)
        there = rng.random() < 1 / 2
        until = time.monotonic() + fault.lasts_s
        for link in links:
            if fault.kind == "partition":
                link.cut()
            elif fault.kind == "one-way partition":
                link.cut(there=there, back=not there)
            elif fault.kind == "latency":
                link.latency_s = rng.uniform(*LATENCY_S)
            elif fault.kind == "refuse":
                link.refuse()
        while (left := until - time.monotonic()) > 0:
            if fault.kind == "resets":
                for link in links:
                    link.reset()
            await asyncio.sleep(min(left, RESET_EVERY_S))
        await _heal(links)

    async def _swizzle(self, fault: PlannedFault) -> None:
        """One after the other is cut off, and they come back in another order."""
        step_s = fault.lasts_s / (2 * len(fault.targets))
        for name in fault.targets:
            for link in self.rig.links_of([name], fault.ends):
                link.cut()
            await asyncio.sleep(step_s)
        for name in _dice(fault).sample(fault.targets, len(fault.targets)):
            await _heal(self.rig.links_of([name], fault.ends))
            await asyncio.sleep(step_s)

    async def _kill_brokers(self, fault: PlannedFault) -> None:
        await self._replicated()
        brokers = [self.rig.servers.named(name) for name in fault.targets]
        for broker in brokers:
            broker.kill()
        await asyncio.sleep(fault.lasts_s)
        for broker in brokers:
            await asyncio.to_thread(broker.start)

    async def _cut_off(self, fault: PlannedFault) -> None:
        """Pull its cable; without a switch it is stopped, which looks the same to the others."""
        await self._replicated()
        (name,) = fault.targets
        broker, number = self.rig.servers.named(name), BROKERS.index(name) + 1
        cut, mend = broker.suspend, broker.resume
        if switch := self.rig.switch:
            cut, mend = partial(switch.pull, number), partial(switch.plug, number)
        cut()
        await asyncio.sleep(fault.lasts_s)
        mend()

    async def _replicated(self) -> None:
        """A broker's trouble begins when the last one's is over, if that comes soon enough."""
        deadline, why = time.monotonic() + REPLICATED_S, "a replica lags"
        while time.monotonic() < deadline:
            try:
                async with asyncio.timeout(REPLICATED_S):
                    if await self.rig.is_replicated():
                        return
            except Exception as error:  # noqa: BLE001 - a broker that is not back yet, in whatever way
                why = type(error).__name__
            await asyncio.sleep(RESET_EVERY_S)
        self.print_line(f"not all copies are in sync yet: {why}")

    async def _kill_server(self, fault: PlannedFault) -> None:
        server = self.rig.servers.named(fault.kind.removeprefix("kill "))
        await asyncio.to_thread(server.kill)
        await asyncio.sleep(fault.lasts_s)
        await asyncio.to_thread(self.rig.servers.restart, server)


def _dice(fault: PlannedFault) -> random.Random:
    """What the plan leaves open follows from the fault, so that a seed repeats that too."""
    return random.Random(repr(fault))  # noqa: S311 - a plan, no secret


async def _heal(links: Sequence[Proxy]) -> None:
    for link in links:
        await link.heal()
