"""What `saga bench` and `python -m bench` share: the scenarios by name, run one after the other."""

import logging
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

import httpx
import structlog
from pydantic_core import to_json

from bench.scenarios import busy, failing, scaled, steady, switched, troubled
from bench.session import QUICK, Bench, BenchOptions
from bench.tables import Table
from saga_cli.clients import UNAVAILABLE
from saga_cli.terminal import console, fail, message_of, plain


class ScenarioResult(Protocol):
    def table(self) -> Table: ...


@dataclass(frozen=True, slots=True)
class Scenario:
    """`minutes` with the usual options on two cores."""

    run: Callable[[Bench], ScenarioResult]
    minutes: float
    is_usual: bool = False
    is_alone: bool = False
    """On servers of its own."""


SCENARIOS: Final = {
    "capacity": Scenario(steady.capacity, 2, is_usual=True),
    "latency": Scenario(steady.latency, 1.5, is_usual=True),
    "cost": Scenario(steady.cost, 0.5, is_usual=True),
    "in-flight": Scenario(steady.in_flight, 1),
    "hot": Scenario(steady.hot, 2.5),
    "recovery": Scenario(troubled.recovery, 3, is_usual=True),
    "overload": Scenario(troubled.overload, 2.5, is_usual=True, is_alone=True),
    "drain": Scenario(troubled.drain, 10, is_alone=True),
    "curve": Scenario(scaled.curve, 6, is_alone=True),
    "fast-paths": Scenario(switched.fast_paths, 16, is_alone=True),
    "secured": Scenario(switched.secured, 4, is_usual=True, is_alone=True),
    "traced": Scenario(switched.traced, 4, is_alone=True),
    "false-alarms": Scenario(busy.false_alarms, 4, is_alone=True),
    "failover": Scenario(failing.failover, 7, is_alone=True),
    "growth": Scenario(scaled.growth, 30, is_alone=True),
}
USUAL: Final = tuple(name for name, scenario in SCENARIOS.items() if scenario.is_usual)
OWN: Final = frozenset(name for name, scenario in SCENARIOS.items() if scenario.is_alone)


Figures = Mapping[str, float | None]
"""`rate`, `seconds`, `orders` and `backlog`; None is what was not asked for."""


def bench(
    names: Sequence[str], figures: Figures, sizes: str, json: Path | None, *, quick: bool
) -> None:
    session = session_of(names, SCENARIOS, figures, sizes, quick=quick)

    def keep(document: bytes, _results: Mapping[str, ScenarioResult]) -> None:
        if json:
            json.write_bytes(document)

    finish(session, run(names or USUAL, session), keep)


def session_of(
    names: Sequence[str], known: Collection[str], figures: Figures, sizes: str, *, quick: bool
) -> Bench:
    """What makes no sense ends the command with 2."""
    if unknown := [name for name in names if name not in known]:
        fail(f"there is no scenario {plain(unknown[0])!r}; there are {', '.join(known)}")
    parts = [part.strip() for part in sizes.split(",")] if sizes else []
    if not all(part.isascii() and part.isdigit() for part in parts):
        fail(f"{plain(sizes)!r} are no sizes such as 0,1000000")
    asked: dict[str, Any] = {n: figure for n, figure in figures.items() if figure is not None}
    asked |= {"sizes": tuple(map(int, parts))} if parts else {}
    options, started = replace(QUICK if quick else BenchOptions(), **asked), time.monotonic()
    return Bench(
        options, lambda text: console.print(f"{time.monotonic() - started:7.1f} s  {text}")
    )


def finish(
    session: Bench,
    found: Iterator[tuple[str, ScenarioResult]],
    keep: Callable[[bytes, Mapping[str, ScenarioResult]], None],
) -> None:
    """Keep all results so far after each scenario; what fails ends the command with one line."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    about = {"machine": asdict(session.machine), "options": asdict(session.options)}
    results: dict[str, ScenarioResult] = {}
    try:
        for name, result in found:
            results[name] = result  # kept at once: hours may follow in which something fails
            keep(to_json({**about, "results": results}, indent=1), results)
    except (RuntimeError, httpx.HTTPError, *UNAVAILABLE) as error:
        fail(message_of(error), code=1)
    except KeyboardInterrupt:
        fail("stopped", code=130)
    finally:
        session.close()


def run(names: Sequence[str], session: Bench) -> Iterator[tuple[str, ScenarioResult]]:
    """In the order of the registry: those that share a system come first."""
    wanted = [name for name in SCENARIOS if name in names]
    if not wanted:
        return
    minutes = sum(SCENARIOS[name].minutes for name in wanted)
    if not session.machine.is_quiet:
        busy = f"{session.machine.busy_percent:.0f} % of the CPU is used by others"
        session.print_line(f"{busy}: no figure will be what it could be")
    session.print_line(f"{', '.join(wanted)}: with the usual options some {minutes:g} minutes")
    for name in wanted:
        result = SCENARIOS[name].run(session)
        console.print(result.table().drawn())
        yield name, result
