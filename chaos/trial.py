"""One trial: load and faults for a time, then no faults until all settles, then all stores are compared."""

import asyncio
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chaos import rig
from chaos.customers import PATIENCE_S, CustomerLoad
from chaos.nemesis import ChaosNemesis
from chaos.plan import Parts, fast_paths, plan
from chaos.rig import ChaosRig
from chaos.stripe_books import disagreements
from guarantees.judge import JudgeReport
from saga_cli.verify.reconcile import read_books, settled

START_S: Final = 900
MEND_S: Final = 600  # beyond the plan: a server that is slow to answer again
SETTLE_S: Final = 600
COME_BACK: Final = 20
PARTS: Final = Parts({name: ("kafka", *rig.servers_of(name)) for name in rig.NAMES}, rig.BROKERS)


@dataclass(frozen=True, slots=True)
class TrialOptions:
    seed: int
    seconds: float = 300
    rate: float = 20
    logs: Path | None = None
    patience_s: float = PATIENCE_S
    """Of each customer, who then gives up."""

    @property
    def command(self) -> str:
        return f"saga chaos --seed {self.seed} --seconds {self.seconds:g} --rate {self.rate:g}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`settled_s` counts from the end of the last fault; None where not all was well in time."""

    acknowledged: int
    customers: CustomerLoad
    report: JudgeReport
    faults: Counter[str]
    provider_faults: int
    settled_s: float | None
    ended: list[str]
    violations: list[str]

    @property
    def is_clean(self) -> bool:
        return self.settled_s is not None and not self.violations


async def run(options: TrialOptions, print_line: Callable[[str], None]) -> Verdict:
    """Raises TimeoutError, RuntimeError or an ExceptionGroup of them where the stack itself fails."""
    started = time.monotonic()

    def timed(text: str) -> None:
        print_line(f"{time.monotonic() - started:7.1f} s  {text}")

    switched_on = fast_paths(options.seed, PARTS.services)
    dice = random.Random(options.seed)  # noqa: S311 - the provider's faults, no secret
    async with asyncio.timeout(START_S) as limit, rig.running(dice, switched_on) as system:
        limit.reschedule(None)
        started = time.monotonic()
        timed(f"all ready{_no_switch(system.why_no_switch)}")
        timed("fast paths: " + "; ".join(f"{name} {on}" for name, on in switched_on.items()))
        try:
            return await _try(options, system, timed)
        finally:
            if options.logs:
                options.logs.mkdir(parents=True, exist_ok=True)
                for log in system.servers.folder.glob("*.log"):
                    shutil.copy(log, options.logs)


def _no_switch(why: str) -> str:
    what = "a broker is stopped instead of cut off"
    return f"; no network namespaces here ({why}): {what}" if why else ""


async def _try(
    options: TrialOptions, system: ChaosRig, print_line: Callable[[str], None]
) -> Verdict:
    dice = random.Random(options.seed)  # noqa: S311 - who orders what, no secret
    named = f"chaos-{options.seed}"
    customers = CustomerLoad(system.services, dice, named, options.patience_s)
    nemesis, closed = ChaosNemesis(system, print_line), asyncio.Event()
    keeper = asyncio.create_task(system.keep_up())
    try:
        coming = asyncio.create_task(customers.come(options.rate, closed))
        async with asyncio.timeout(options.seconds + MEND_S):
            faults = plan(options.seed, options.seconds, PARTS)
            await nemesis.run(faults, options.seconds)
        print_line("all faults are over")
        faults_ended, system.provider.chaos = time.monotonic(), None
        closed.set()
        await coming
        acknowledged = [placed.order_id for placed in customers.placed]
        look = settled(system.servers.addresses, acknowledged, SETTLE_S)
        report = await asyncio.to_thread(asyncio.run, look)  # as the links have to carry on
        settled_s = time.monotonic() - faults_ended if report.is_clean else None
        print_line("settled" if report.is_clean else f"not settled after {SETTLE_S} s")
        await customers.come_back(COME_BACK)
        return await _judged(system, customers, nemesis, report, settled_s)
    finally:
        keeper.cancel()
        await asyncio.wait([keeper])


def _died(system: ChaosRig) -> list[str]:
    """A process may fail to start while a server is away; one that works may not end, nor a server."""
    ended = [
        f"{instance.process.name} ended by itself: {line}"
        for instance in system.services.instances
        for line in instance.process.log.read_text(errors="replace").splitlines()
        if '"part_failed"' in line
    ]
    gone = [server for server in system.servers.all if not server.is_alive()]
    return ended + [f"{each.name} ended by itself: {each.tail()}" for each in gone]


async def _judged(
    system: ChaosRig,
    customers: CustomerLoad,
    nemesis: ChaosNemesis,
    report: JudgeReport,
    settled_s: float | None,
) -> Verdict:
    books = await asyncio.to_thread(asyncio.run, read_books(system.servers.addresses.store_of))
    violations = report.violations + disagreements(system.provider.books, books.rows["payment"])
    violations += customers.surprises + _died(system)
    acknowledged = len({placed.order_id for placed in customers.placed})
    if acknowledged < len(customers.placed):
        violations.append("G5 two keys were answered with one order")
    if not acknowledged:
        violations.append("no checkout was acknowledged at all")
    if report.orders > acknowledged + customers.gave_up:
        asked = acknowledged + customers.gave_up
        violations.append(f"G4 {report.orders} orders of {asked} checkouts")
    done, by_provider = nemesis.done, len(system.provider.faults)
    return Verdict(
        acknowledged, customers, report, done, by_provider, settled_s, system.ended, violations
    )
