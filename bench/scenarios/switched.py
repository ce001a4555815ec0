"""What each fast path is worth: bursts and a quiet load without it, between two with all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from bench.plan import LoadPhase
from bench.rig import Measured
from bench.scenarios.steady import DEEP
from bench.session import Bench
from bench.tables import Table
from chassis.process.settings import FastPath
from guarantees.services import SERVICES

QUIET_SHARE: Final = 0.25
"""Of the first burst's rate: batches of a few orders, as most shops have at most times."""


@dataclass(frozen=True, slots=True)
class Switched:
    burst: Measured
    quiet: Measured

    @property
    def figures(self) -> tuple[float, ...]:
        """Of the burst: CPU us an order and orders/s; of the quiet load: CPU us an order and p50 ms."""
        burst, quiet = self.burst, self.quiet
        return (
            burst.cpu_us_in_all,
            burst.report.settled_per_s,
            quiet.cpu_us_in_all,
            quiet.report.end_to_end.p50_ms or 0.0,
        )


@dataclass(frozen=True, slots=True)
class FastPaths:
    """By fast path, runs without it; run n of `complete` and the one after it are its neighbours."""

    without: Mapping[str, Sequence[tuple[int, Switched]]]
    complete: Sequence[Switched]

    def table(self) -> Table:
        """Each figure without the path, divided by the mean of its neighbours' with all of them."""
        rows = []
        for name, runs in self.without.items():
            ratios = [self._ratios(number, run) for number, run in runs]
            rows.append((name, *(f"{fmean(each) - 1:+.1%}" for each in zip(*ratios, strict=True))))
        burst, quiet = ("burst: CPU an order", "orders/s"), ("quiet: CPU an order", "p50")
        return Table("Without a fast path", ("without", *burst, *quiet), rows)

    def _ratios(self, number: int, run: Switched) -> list[float]:
        pairs = zip(self.complete[number].figures, self.complete[number + 1].figures, strict=True)
        return [found / fmean(both) for found, both in zip(run.figures, pairs, strict=True)]


def fast_paths(bench: Bench) -> FastPaths:
    paths = list(FastPath)
    complete = [_switched(bench, paths, 0.0)]
    rate = complete[0].burst.report.settled_per_s * QUIET_SHARE
    without: dict[str, list[tuple[int, Switched]]] = {path: [] for path in paths}
    for _ in range(bench.options.pairs):
        for path in paths:
            bench.print_line(f"fast paths: without {path}")
            run = _switched(bench, [each for each in paths if each is not path], rate)
            without[path].append((len(complete) - 1, run))
            complete.append(_switched(bench, paths, rate))
    return FastPaths(without, complete)


def _switched(bench: Bench, on: Sequence[FastPath], rate: float) -> Switched:
    """At 0, the rate of the quiet load is a share of the burst's."""
    extra = {f"{manifest.prefix}_FAST_PATHS": ",".join(on) or "none" for manifest in SERVICES}
    options = bench.options
    with bench.fresh(extra=extra) as rig:
        burst = rig.load(orders=options.orders, in_flight=DEEP)
        phase = LoadPhase(
            rate or burst.report.settled_per_s * QUIET_SHARE, options.warm_s + options.trial_s
        )
        return Switched(burst, rig.load(phases=(phase,), warm_s=options.warm_s))
