"""What each fast path is worth: two systems side by side, one without it, are loaded in turn."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from bench.plan import LoadPhase
from bench.rig import BenchRig, Measured
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
    """By fast path, pairs: with all of them, and without this one."""

    pairs: Mapping[str, Sequence[tuple[Switched, Switched]]]

    def table(self) -> Table:
        """What each figure is higher by without the path: the mean of the pairs, and their range."""
        rows = []
        for name, pairs in self.pairs.items():
            each = zip(*(_changes(*pair) for pair in pairs), strict=True)
            rows.append((name, *(_shown(changes) for changes in each)))
        burst, quiet = ("burst: CPU an order", "orders/s"), ("quiet: CPU an order", "p50")
        return Table("Without a fast path", ("without", *burst, *quiet), rows)


def fast_paths(bench: Bench) -> FastPaths:
    return FastPaths({path: _pairs(bench, path) for path in FastPath})


def _pairs(bench: Bench, path: FastPath) -> list[tuple[Switched, Switched]]:
    """Loaded first are, in turn, the system with all of them and the one without `path`."""
    bench.print_line(f"fast paths: without {path}")
    choices = set(FastPath), set(FastPath) - {path}
    with ExitStack() as held:
        rigs = [held.enter_context(bench.fresh(extra=_variables(on))) for on in choices]
        rate = (
            QUIET_SHARE
            * rigs[0].load(orders=bench.options.orders, in_flight=DEEP).report.settled_per_s
        )
        pairs = []
        for number in range(bench.options.pairs):
            turn = 1 if number % 2 == 0 else -1
            complete, without = [_loaded(bench, rig, rate) for rig in rigs[::turn]][::turn]
            pairs.append((complete, without))
        return pairs


def _variables(on: AbstractSet[FastPath]) -> dict[str, str]:
    return {f"{manifest.prefix}_FAST_PATHS": ",".join(on) or "none" for manifest in SERVICES}


def _loaded(bench: Bench, rig: BenchRig, rate: float) -> Switched:
    options = bench.options
    burst = rig.load(orders=options.orders, in_flight=DEEP)
    phase = LoadPhase(rate, options.warm_s + options.trial_s)
    return Switched(burst, rig.load(phases=(phase,), warm_s=options.warm_s))


def _changes(complete: Switched, without: Switched) -> list[float]:
    """What each figure is higher by without the path, as a share."""
    return [b / a - 1 for a, b in zip(complete.figures, without.figures, strict=True)]


def _shown(changes: Sequence[float]) -> str:
    return f"{fmean(changes):+.1%} ({min(changes):+.1%} to {max(changes):+.1%})"
