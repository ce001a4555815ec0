"""`saga simulate`: many orders under many faults, from seeds, and what came of them."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

import typer
from pydantic import ValidationError
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from guarantees.counts import counted
from saga_cli.terminal import console, fail, named
from simulation import coverage
from simulation.found import FoundSeed, FoundSeeds
from simulation.hunt import hunted
from simulation.mutants import MUTANTS
from simulation.plan import FAULTS, Plan
from simulation.runs import Result, cores, many, run, shrunk
from simulation.summary import Summary

SHOWN: Final = 40
LONG_ORDERS: Final = 100_000
"""A run of so many orders has to reach every cell of state and message that is not explained."""
LINE_EVERY_S: Final = 60


@dataclass(frozen=True, slots=True)
class SimulationOptions:
    """So many orders from a seed on, so many a run, with these kinds of faults."""

    orders: int
    seed: int
    per_run: int
    faults: frozenset[str]
    jobs: int = 0

    @property
    def is_long(self) -> bool:
        return self.orders >= LONG_ORDERS and self.faults == frozenset(FAULTS)

    def plans(self) -> Iterator[Plan]:
        """What failed before comes first."""
        yield from (seed.plan for seed in FoundSeeds.here())
        for seed, begun in enumerate(range(0, self.orders, self.per_run), self.seed):
            yield Plan.drawn(seed, min(self.per_run, self.orders - begun), self.faults)


def kinds_of(faults: str) -> frozenset[str]:
    if faults in {"all", "none"}:
        return frozenset(FAULTS if faults == "all" else ())
    return frozenset(named(faults, FAULTS, "fault"))


def simulate(wanted: SimulationOptions) -> None:
    """Exit code 1 after the first run that breaks a guarantee.

    Also after a long run of all kinds of faults that leaves cells neither reached nor explained.
    """
    summary, started = Summary(), monotonic()
    printed_at = started
    columns = (TextColumn("orders"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("orders", total=wanted.orders)
        with suppress(KeyboardInterrupt):
            for result in many(wanted.plans(), wanted.jobs or cores()):
                summary.add(result)
                progress.update(bar, completed=min(summary.orders, wanted.orders))
                printed_at = _print_progress(summary, wanted, started, printed_at)
                if result.guarantee:
                    break
    print_summary(summary, monotonic() - started)
    if summary.failures:
        explain(summary.failures[0])
        raise typer.Exit(1)
    if summary.orders < wanted.orders:
        raise typer.Exit(130)
    if wanted.is_long and coverage.of(summary.cells).missing:
        console.print(f"[red]{LONG_ORDERS} orders have to reach or explain every cell[/red]")
        raise typer.Exit(1)


def _print_progress(
    summary: Summary, wanted: SimulationOptions, started: float, printed_at: float
) -> float:
    """Where there is no terminal to draw a bar on, a line a minute says how far it is."""
    now = monotonic()
    if console.is_terminal or now - printed_at < LINE_EVERY_S:
        return printed_at
    rate = summary.orders / (now - started)
    console.print(f"{summary.orders} of {wanted.orders} orders, {rate:.0f} orders/s")
    return now


def repeat(text: str, log: Path | None, *, verbose: bool) -> None:
    """One plan again; its log, if it is wanted."""
    try:
        plan = Plan.of_json(text)
    except ValidationError as error:
        wrong = error.errors()[0]
        fail(f"not a plan: {'.'.join(map(str, wrong['loc']))} {wrong['msg']}")
    except ValueError as error:
        fail(f"not a plan: {error}")
    if plan.mutant:
        mutants_of(plan.mutant)
    result = run(plan, keep_log=log is not None, verbose=verbose)
    if log is not None:
        log.write_text("".join(f"{line}\n" for line in result.log))
    console.print(
        f"{counted(plan.orders, 'order')}, {counted(result.events, 'event')}, digest {result.digest}"
    )
    if result.guarantee:
        console.print(f"[red]{result.what}[/red]")
        raise typer.Exit(1)
    console.print("no violation")


def print_summary(summary: Summary, seconds: float) -> None:
    rate = summary.orders / max(seconds, 0.001)
    console.print(
        f"{counted(summary.orders, 'order')} in {counted(summary.runs, 'run')}, "
        f"{counted(summary.events, 'event')}, "
        f"{summary.virtual_s / 3600:.1f} virtual hours in {seconds:.0f} s ({rate:.0f} orders/s)"
    )
    ends = ", ".join(f"{n} {state}" for state, n in summary.states.most_common())
    console.print(f"ends: {ends}")
    table = Table("fault", "hits", box=None)
    for kind in FAULTS:
        table.add_row(kind, str(summary.hits[kind]))
    console.print(table)
    report = coverage.of(summary.cells)
    console.print(
        f"state x message: {report.reached} of {report.total} cells reached, "
        f"{len(report.explained)} explained, {len(report.missing)} not reached by this run"
    )
    for cell in report.missing:
        console.print(f"  {' '.join(cell)}")
    if not summary.failures:
        console.print("no violation of G1 to G9")


def explain(failure: Result) -> None:
    """The smallest plan that still fails, its trace, and the command that repeats it."""
    FoundSeeds.here().keep(FoundSeed(failure.plan, failure.what))
    console.print(f"[red]{failure.what}[/red]\nseed {failure.plan.seed}; looking for less ...")
    plan, tried = shrunk(failure.plan, failure.guarantee)
    result = run(plan, keep_log=True)
    FoundSeeds.here().keep(FoundSeed(plan, result.what))
    console.print(
        f"smallest of {tried} tried: {counted(plan.orders, 'order')}, faults {plan.faults}"
    )
    console.print(f"[red]{result.what}[/red]")
    for line in trace(result)[-SHOWN:]:
        console.print(f"  {line}", soft_wrap=True)
    console.print(f"again: saga simulate --plan '{plan.to_json()}'", soft_wrap=True)


def trace(result: Result) -> list[str]:
    """The lines about the order that the violation names, and the faults among them."""
    named = [word.strip("():,") for word in result.what.split()]
    about = {word for word in named if len(word) == 36}  # noqa: PLR2004 - a UUID
    quiet = ("committed ", "appended ")
    return [
        line
        for line in result.log
        if any(word in line for word in about) or not line.split(" ", 2)[2].startswith(quiet)
    ]


def mutants_of(names: str) -> list[str]:
    return named(names, MUTANTS, "mutant") or list(MUTANTS)


def hunt(names: list[str], seeds: int, jobs: int) -> None:
    """The table of deliberate bugs: what each is, by which seed it was found, and what it broke.

    Exit code 1 if one is not found for what it is expected to break, or fails by itself.
    """
    table = Table("mutant", "what is wrong", "seed", "found by", box=None)
    errors = []
    with console.status("switching bugs on"):
        for hunt_ in hunted(names, seeds, jobs or cores()):
            result = hunt_.found
            errors += [f"{hunt_.name}: {hunt_.error}"] if hunt_.error else []
            seed, what = (str(result.plan.seed), result.what) if result else ("-", "NOT FOUND")
            table.add_row(hunt_.name, MUTANTS[hunt_.name].what, seed, what[:60])
    console.print(table)
    for error in errors:
        console.print(f"[red]{escape(error)}[/red]", soft_wrap=True)
    console.print(f"{len(names) - len(errors)} of {len(names)} found within {seeds} seeds each")
    if errors:
        raise typer.Exit(1)
