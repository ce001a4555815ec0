"""How much it does, how fast it answers, and what it costs, while all is well."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bench.plan import LoadPhase, Shape
from bench.report import LoadReport
from bench.rig import FIGURES, Measured
from bench.session import Bench
from bench.tables import Table

ENOUGH: Final = 0.98
BACKLOG_S: Final = 2.0
DEEP: Final = 512
SHARES: Final = (0.1, 0.5, 0.8)
SHAPES: Final[tuple[Shape, ...]] = ("mixed", "one sku", "one customer")


@dataclass(frozen=True, slots=True)
class Trial:
    rate: float
    is_sustained: bool
    measured: Measured


@dataclass(frozen=True, slots=True)
class Capacity:
    """`per_s` is the highest rate of orders that was sustained; nine in ten of them are confirmed."""

    per_s: float
    confirmed_per_s: float
    burst: Measured
    trials: tuple[Trial, ...]

    def table(self) -> Table:
        rows = [
            (
                t.rate,
                t.measured.report.settled_per_s,
                t.measured.report.end_to_end.p50_ms,
                t.measured.report.end_to_end.p99_ms,
                t.measured.report.refused,
                t.measured.cpu_us_in_all,
                "yes" if t.is_sustained else "no",
            )
            for t in sorted(self.trials, key=lambda t: t.rate)
        ]
        title = f"Capacity: {self.per_s:.0f} orders/s, {self.confirmed_per_s:.0f} confirmed/s"
        columns = ("offered/s", "settled/s", "p50 ms", "p99 ms", "refused", "CPU us", "sustained")
        return Table(title, columns, rows)


def capacity(bench: Bench) -> Capacity:
    """Halve the distance between what was sustained and what was not."""
    options = bench.options
    burst = bench.rig.load(orders=options.orders, in_flight=DEEP)
    low, high, trials = 0.0, 1.6 * burst.report.settled_per_s, list[Trial]()
    rate = burst.report.settled_per_s * 0.9
    while len(trials) < options.trials:
        phase = LoadPhase(rate, options.trial_s)
        measured = bench.rig.load(phases=(phase,), warm_s=options.trial_s / 3, arrivals="steady")
        trials.append(Trial(rate, is_sustained(measured.report, rate), measured))
        verdict = "sustained" if trials[-1].is_sustained else "too much"
        bench.print_line(f"capacity: {rate:.0f} orders/s: {verdict}")
        low, high = (rate, high) if trials[-1].is_sustained else (low, rate)
        rate = (low + high) / 2
    best = max((t for t in trials if t.is_sustained), key=lambda t: t.rate, default=None)
    if best is None:
        raise RuntimeError(f"even {trials[-1].rate:.0f} orders a second could not be sustained")
    bench.per_s = best.rate
    return Capacity(best.rate, best.measured.report.confirmed_per_s, burst, tuple(trials))


def capacity_of(bench: Bench) -> float:
    """As given, or as found before, or looked for now."""
    bench.per_s = bench.per_s or bench.options.rate or capacity(bench).per_s
    return bench.per_s


def is_sustained(report: LoadReport, rate: float) -> bool:
    """All accepted, nearly as many settled as came, and nobody waits behind a queue of seconds."""
    at_end = [tick.backlog for tick in report.ticks if tick.at_s < report.seconds][-1:]
    is_all = report.accepted == report.sent == report.offered and not report.unsettled
    keeps_up = report.settled_per_s >= ENOUGH * rate
    return is_all and keeps_up and sum(at_end) <= BACKLOG_S * rate


@dataclass(frozen=True, slots=True)
class Latencies:
    """By the load, in shares of the capacity."""

    loads: Mapping[str, Measured]

    def table(self) -> Table:
        rows = [
            (
                load,
                m.report.offered / m.report.seconds,
                m.report.http.p50_ms,
                m.report.http.p99_ms,
                m.report.end_to_end.p50_ms,
                m.report.end_to_end.p99_ms,
                m.report.end_to_end.p999_ms,
                m.report.end_to_end.max_ms,
                "late" if m.report.is_late else "in time",
            )
            for load, m in self.loads.items()
        ]
        http, settled = ("HTTP p50 ms", "p99"), ("settled p50 ms", "p99", "p99.9", "max")
        return Table("Latency", ("load", "orders/s", *http, *settled, "generator"), rows)


def latency(bench: Bench) -> Latencies:
    rate = capacity_of(bench)
    found = {}
    for share in SHARES:
        bench.print_line(f"latency at {share:.0%} of {rate:.0f} orders/s")
        found[f"{share:.0%}"] = at_rate(bench, rate * share)
    return Latencies(found)


def at_rate(bench: Bench, rate: float, shape: Shape = "mixed") -> Measured:
    """Orders come as customers do, independently of each other."""
    options = bench.options
    phase = LoadPhase(rate, options.warm_s + options.seconds)
    return bench.rig.load(phases=(phase,), warm_s=options.warm_s, shape=shape)


@dataclass(frozen=True, slots=True)
class InFlight:
    """The same number of orders at once, whatever that makes of the rate."""

    loads: Mapping[str, Measured]

    def table(self) -> Table:
        rows = [(depth, *measured.figures) for depth, measured in self.loads.items()]
        return Table("Closed loop", ("in flight", *FIGURES), rows)


def in_flight(bench: Bench) -> InFlight:
    found = {}
    for depth in bench.options.in_flight:
        bench.print_line(f"closed loop, {depth} orders in flight")
        orders = max(min(bench.options.orders, depth * 60), 2 * depth)  # a shallow loop ends soon
        found[str(depth)] = bench.rig.load(orders=orders, in_flight=depth)
    return InFlight(found)


@dataclass(frozen=True, slots=True)
class Hot:
    """Bursts, and latencies at half the capacity, when all want the same."""

    bursts: Mapping[str, Measured]
    loads: Mapping[str, Measured]

    def table(self) -> Table:
        rows = [
            (shape, *burst.figures, load.report.end_to_end.p50_ms, load.report.end_to_end.p99_ms)
            for (shape, burst), load in zip(self.bursts.items(), self.loads.values(), strict=True)
        ]
        return Table("Hot keys", ("orders", *FIGURES, "p50 ms at half load", "p99 ms"), rows)


def hot(bench: Bench) -> Hot:
    rate = capacity_of(bench) / 2
    bursts: dict[str, Measured] = {}
    loads: dict[str, Measured] = {}
    for shape in SHAPES:
        bench.print_line(f"hot: {shape}")
        bursts[shape] = bench.rig.load(orders=bench.options.orders, in_flight=DEEP, shape=shape)
        loads[shape] = at_rate(bench, rate, shape)
    return Hot(bursts, loads)


@dataclass(frozen=True, slots=True)
class Cost:
    """What each order costs, at a burst: CPU, memory, bytes."""

    measured: Measured

    def table(self) -> Table:
        found = self.measured
        names = sorted({*found.cpu_us, *found.usage.memory_mb, *found.bytes_each})
        rows = [
            (
                name,
                found.cpu_us.get(name, ""),
                found.usage.memory_mb.get(name, ""),
                found.bytes_each.get(name, ""),
            )
            for name in names
        ]
        columns = ("of", "CPU us an order", "memory MB at most", "bytes an order")
        return Table("Cost of an order", columns, rows)


def cost(bench: Bench) -> Cost:
    bench.print_line(f"cost of each of {bench.options.orders} orders")
    return Cost(bench.rig.load(orders=bench.options.orders, in_flight=DEEP))
