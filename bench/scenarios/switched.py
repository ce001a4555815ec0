"""What a choice is worth: two systems side by side, which differ in it, are loaded in turn."""

import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from statistics import fmean, median
from typing import Any, Final

import httpx

from bench.plan import LoadPhase, carts
from bench.rig import BenchRig, Measured
from bench.scenarios.steady import DEEP
from bench.session import Bench
from bench.sink import sink
from bench.tables import Table
from chassis.process.settings import FastPath
from guarantees.services import SERVICES
from saga_cli.stack.issuer import bearer

FIGURES: Final = (
    *("burst: CPU an order", "orders/s"),
    *("quiet: CPU an order", "p50"),
    "alone: p50",
)
QUIET_SHARE: Final = 0.25
"""Of a burst's rate: batches of a few orders, as most shops have at most times."""
ALONE: Final = 20
TRACED_SHARE: Final = "0.01"


@dataclass(frozen=True, slots=True)
class Switched:
    """`alone_ms` is the median of checkouts one after the other, each answered when it is settled."""

    burst: Measured
    quiet: Measured
    alone_ms: float

    @property
    def figures(self) -> tuple[float, ...]:
        """In the order of FIGURES."""
        burst, quiet = self.burst, self.quiet
        return (
            burst.cpu_us_in_all,
            burst.report.settled_per_s,
            quiet.cpu_us_in_all,
            quiet.report.end_to_end.p50_ms or 0.0,
            self.alone_ms,
        )


@dataclass(frozen=True, slots=True)
class FastPathsScenario:
    """By fast path, pairs: with all of them, and without this one."""

    pairs: Mapping[str, Sequence[tuple[Switched, Switched]]]

    def table(self) -> Table:
        """What each figure is higher by without the path: the mean of the pairs, and their range."""
        rows = []
        for name, pairs in self.pairs.items():
            each = zip(*(_changes(*pair) for pair in pairs), strict=True)
            rows.append((name, *(_shown(changes) for changes in each)))
        return Table("Without a fast path", ("without", *FIGURES), rows)


@dataclass(frozen=True, slots=True)
class ComparedScenario:
    """Pairs: without something and with it; both have a name."""

    title: str
    names: tuple[str, str]
    pairs: Sequence[tuple[Switched, Switched]]

    def table(self) -> Table:
        """The means of both, and by how much the second is higher: the mean of the pairs, and their range."""
        means = [
            [fmean(each) for each in zip(*(of.figures for of in side), strict=True)]
            for side in zip(*self.pairs, strict=True)
        ]
        each = zip(*(_changes(*pair) for pair in self.pairs), strict=True)
        rows = [(name, *of) for name, of in zip(self.names, means, strict=True)]
        shown = ("more", *(_shown(changes) for changes in each))
        return Table(self.title, ("", *FIGURES), [*rows, shown])


def fast_paths(bench: Bench) -> FastPathsScenario:
    found: dict[str, Sequence[tuple[Switched, Switched]]] = {}
    for path in bench.options.fast_paths:
        bench.print_line(f"fast paths: without {path}")
        choices = set(FastPath), set(FastPath) - {path}
        found[path] = _pairs(bench, *({"extra": _variables(on)} for on in choices))
    return FastPathsScenario(found)


def secured(bench: Bench) -> ComparedScenario:
    """TLS, logins and rights."""
    bench.print_line("secured: against a plain system")
    pairs = _pairs(bench, {}, {"secured": True})
    return ComparedScenario("A secured system", ("plain", "secured"), pairs)


def traced(bench: Bench) -> ComparedScenario:
    """Spans of 1 % of the orders, sent to a receiver that keeps none."""
    bench.print_line("traced: 1 % of the orders, against a system without traces")
    with sink() as url:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": TRACED_SHARE,
        }
        pairs = _pairs(bench, {}, {"extra": variables})
    return ComparedScenario("A traced system", ("off", "1 %"), pairs)


def _pairs(bench: Bench, *wanted: Mapping[str, Any]) -> list[tuple[Switched, Switched]]:
    """Each of two systems is loaded first in turn."""
    with ExitStack() as held:
        rigs = [held.enter_context(bench.fresh(**one)) for one in wanted]
        bursts = [rig.load(orders=bench.options.orders, in_flight=DEEP) for rig in rigs]
        rate = QUIET_SHARE * fmean(burst.report.settled_per_s for burst in bursts)
        pairs = []
        for number in range(bench.options.pairs):
            turn = 1 if number % 2 == 0 else -1
            one, other = [_loaded(bench, rig, rate) for rig in rigs[::turn]][::turn]
            pairs.append((one, other))
        return pairs


def _variables(on: AbstractSet[FastPath]) -> dict[str, str]:
    return {f"{manifest.prefix}_FAST_PATHS": ",".join(on) or "none" for manifest in SERVICES}


def _loaded(bench: Bench, rig: BenchRig, rate: float) -> Switched:
    options = bench.options
    burst = rig.load(orders=options.orders, in_flight=DEEP)
    phase = LoadPhase(rate, options.warm_s + options.trial_s)
    quiet = rig.load(phases=(phase,), warm_s=options.warm_s)
    return Switched(burst, quiet, _alone_ms(rig))


def _alone_ms(rig: BenchRig) -> float:
    """Raises httpx.HTTPError."""
    headers = {"Content-Type": "application/json", "Prefer": "wait=30", **bearer()}
    found = []
    with httpx.Client(base_url=rig.services.url("order"), timeout=60) as client:
        for cart in islice(carts(0), ALONE):
            started = time.monotonic()
            client.post("/checkout", content=cart, headers=headers).raise_for_status()
            found.append((time.monotonic() - started) * 1e3)
    return median(found)


def _changes(one: Switched, other: Switched) -> list[float]:
    """What each figure of the other is higher by, as a share."""
    return [b / a - 1 for a, b in zip(one.figures, other.figures, strict=True)]


def _shown(changes: Sequence[float]) -> str:
    return f"{fmean(changes):+.1%} ({min(changes):+.1%} to {max(changes):+.1%})"
