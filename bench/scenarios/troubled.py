"""How it takes a process that is killed, more orders than it can carry, and a backlog."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.plan import LoadPhase
from bench.report import CREATED, REFUSED, TICK_S, LoadReport, Tick
from bench.rig import Generator, Measured
from bench.scenarios.steady import capacity_of
from bench.session import Bench
from bench.tables import Table
from saga_cli.stack.processes import ChildProcess
from saga_cli.topology import SERVICES

CALM_S: Final = 2.0
RESTART_S: Final = 1.0
"""What a supervisor takes to notice that a process is gone."""
TIMES: Final = 3
EAGER: Final = {"ORDER_SLOW_ABOVE_S": "3"}
"""A queue of three seconds is too long; by default one of ten may grow, as bursts end by themselves."""
PATIENT: Final = {"ORDER_PATIENCE_S": "86400"}
"""No order of a long backlog is cancelled for its age."""


def calm_after(ticks: Sequence[Tick], since: float, is_calm: Callable[[int], bool]) -> float | None:
    """The seconds from `since` to the first two in which every tick is calm, by its number."""
    wanted, run = int(CALM_S / TICK_S), 0
    for number, tick in enumerate(ticks):
        run = run + 1 if tick.at_s >= since and is_calm(number) else 0
        if run == wanted:
            return max(0.0, tick.at_s - (wanted - 1) * TICK_S - since)
    return None


def or_never(recovered_s: float | None) -> float | str:
    return "not seen" if recovered_s is None else recovered_s


@dataclass(frozen=True, slots=True)
class Killed:
    """`recovered_s` from the kill until orders settle as before and no backlog is left; or never."""

    killed_s: float
    recovered_s: float | None
    measured: Measured


@dataclass(frozen=True, slots=True)
class Recovery:
    by_service: Mapping[str, Killed]

    def table(self) -> Table:
        rows = [
            (
                name,
                or_never(killed.recovered_s),
                killed.measured.report.end_to_end.max_ms / 1000,
                max(tick.backlog for tick in killed.measured.report.ticks),
                killed.measured.report.accepted,
                killed.measured.report.offered - killed.measured.report.accepted,
                killed.measured.report.unsettled,
            )
            for name, killed in self.by_service.items()
        ]
        columns = ("killed", "recovered s", "slowest order s", "backlog at most", "accepted")
        return Table("SIGKILL under half load", (*columns, "not accepted", "lost"), rows)


def recovery(bench: Bench) -> Recovery:
    rate, options = capacity_of(bench) / 2, bench.options
    killed_s = options.warm_s + options.seconds / 4
    found = {}
    for name in options.services:
        bench.print_line(f"recovery: {name} is killed at {rate:.0f} orders/s")
        process = bench.rig.services.of(name)[0].process

        def kill(generator: Generator, process: ChildProcess = process) -> None:
            time.sleep(max(0.0, generator.started + killed_s - time.monotonic()))
            process.kill()
            time.sleep(RESTART_S)
            process.start()

        phase = LoadPhase(rate, killed_s + options.seconds)
        measured = bench.rig.load(kill, phases=(phase,), warm_s=options.warm_s)
        recovered_s = recovered(measured.report, options.warm_s, killed_s)
        found[name] = Killed(killed_s, recovered_s, measured)
    return Recovery(found)


def recovered(report: LoadReport, warm_s: float, killed_s: float) -> float | None:
    """Calm is at least half of the usual settled within a second, and a backlog as is usual."""
    ticks = [tick for tick in report.ticks if tick.at_s < report.seconds]
    usual = [tick for tick in ticks if warm_s <= tick.at_s < killed_s - TICK_S]
    backlog = 1.5 * max((tick.backlog for tick in usual), default=0)
    settled = sum(tick.settled for tick in usual) / max(len(usual), 1)
    second = int(1 / TICK_S)

    def is_calm(number: int) -> bool:
        last = ticks[max(0, number - second + 1) : number + 1]
        enough = sum(tick.settled for tick in last) >= settled * len(last) / 2
        return enough and ticks[number].backlog <= backlog

    return calm_after(ticks, killed_s, is_calm)


@dataclass(frozen=True, slots=True)
class Overload:
    """`recovered_s` from its end until the latency of those who come then is as it was before."""

    rate: float
    begun_s: float
    ended_s: float
    goodput_per_s: float
    recovered_s: float | None
    measured: Measured

    def table(self) -> Table:
        report, held = self.measured.report, self.measured.usage.memory_mb
        in_time: float | str = "none refused"
        if report.refused:
            in_time = 100 * report.refused_with_retry_after / report.refused
        rows = [
            ("offered/s", self.rate),
            ("settled/s meanwhile", self.goodput_per_s),
            ("refused of all, %", 100 * report.refused / max(report.sent, 1)),
            ("refused with Retry-After, %", in_time),
            ("other answers", _others(report)),
            ("accepted and lost", report.unsettled),
            ("backlog at most", max(tick.backlog for tick in report.ticks)),
            ("recovered after s", or_never(self.recovered_s)),
            ("memory of the services at most MB", sum(held[s.name] for s in SERVICES)),
        ]
        return Table(f"Overload: {TIMES} times the capacity", ("what", "found"), rows)


def _others(report: LoadReport) -> str:
    """By status; 0 where the connection was lost."""
    known = {str(status) for status in (CREATED, *REFUSED)}
    return ", ".join(f"{n} of {s}" for s, n in report.answers.items() if s not in known) or "none"


def overload(bench: Bench) -> Overload:
    rate, options = capacity_of(bench), bench.options
    begun, lasts_s = options.warm_s + options.seconds / 4, 2 * options.seconds
    ended = begun + lasts_s
    bench.print_line(f"overload: {TIMES * rate:.0f} orders/s for {lasts_s:.0f} s, then a sixth")
    phases = (
        LoadPhase(rate / 2, begun),
        LoadPhase(TIMES * rate, lasts_s),
        LoadPhase(rate / 2, 2 * options.seconds),
    )
    with bench.fresh(extra=EAGER) as rig:
        measured = rig.load(phases=phases, warm_s=options.warm_s, connections=4000)
    ticks = measured.report.ticks
    meanwhile = [tick for tick in ticks if begun <= tick.at_s < ended]
    usual = [t.p50_ms for t in ticks if options.warm_s <= t.at_s < begun and t.p50_ms]
    limit = 2 * sorted(usual)[len(usual) // 2] if usual else 0.0

    def is_calm(number: int) -> bool:
        p50 = ticks[number].p50_ms
        return p50 is not None and p50 <= limit

    goodput = sum(tick.settled for tick in meanwhile) / lasts_s
    recovered_s = calm_after(ticks, ended, is_calm)
    return Overload(TIMES * rate, begun, ended, goodput, recovered_s, measured)


@dataclass(frozen=True, slots=True)
class Drain:
    """`seconds` from the start of the other four services to the last order settled."""

    orders: int
    placed_per_s: float
    seconds: float
    per_s: float
    measured: Measured

    def table(self) -> Table:
        rates = (self.placed_per_s, self.seconds, self.per_s)
        row = (self.orders, *rates, self.measured.cpu_us_in_all)
        columns = ("backlog", "placed/s", "drained in s", "orders/s", "CPU us an order")
        return Table("Drain", columns, [row])


def drain(bench: Bench) -> Drain:
    """Orders pile up while only the order service runs; then the others come back."""
    backlog = bench.options.backlog
    with bench.fresh(extra=PATIENT) as rig:
        away = [i for i in rig.services.instances if i.spec.name != "order"]
        begun = placed_s = 0.0

        def come_back(generator: Generator) -> None:
            nonlocal begun, placed_s
            placed_s = generator.until_placed()
            bench.print_line(
                f"drain: {backlog} orders placed in {placed_s:.0f} s; the others start"
            )
            begun = time.monotonic() - generator.started
            for instance in away:
                instance.process.start()

        bench.print_line(f"drain: {backlog} orders are placed, the order service alone")
        for instance in away:
            instance.process.stop()
        measured = rig.load(come_back, orders=backlog, in_flight=backlog)
    took = measured.report.last_settled_s - begun
    settled = measured.report.settled
    return Drain(settled, backlog / placed_s, took, settled / took, measured)
