"""Runs `saga verify` and tells what was found."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from typing import Any, Final, TypeVar

import typer
from rich.table import Table

from saga_cli.declared import service_of
from saga_cli.log.opened import opened
from saga_cli.log.source import Source
from saga_cli.one_line import in_one_line
from saga_cli.progress import shown
from saga_cli.targets import Targets, found
from saga_cli.terminal import console, fail, plain, print_json, table_of
from saga_cli.verify.deciding import ReviewResult, Window, decide_again
from saga_cli.verify.details import committed
from saga_cli.verify.results import Difference, ReadProgress, ServiceResult
from saga_cli.verify.service import verify_service

SHOWN: Final = 20
LIVE: Final = ("live", "rebuilt")
THEN: Final = ("then", "now")
Outcome = TypeVar("Outcome", ServiceResult, ReviewResult)
Job = Callable[[str, ReadProgress], Coroutine[Any, Any, Outcome]]


def run(names: list[str], window: Window | None, archive: str, *, as_json: bool) -> None:
    """Compare, or where there is a window decide again; the command ends with 1 or 2 if need be."""
    places = found()
    try:
        with in_one_line():
            source = opened(places, archive)
            if window is None:
                _print(_each(names, _verifier(source, places)), _comparisons, LIVE, as_json=as_json)
            else:
                job = _decider(source, places, window)
                _print(_each(names, job), _decisions, THEN, as_json=as_json)
    except (AssertionError, ValueError) as error:  # `verify` says which events make no sense
        fail(f"the log can't be folded: {error}", 1)


def _verifier(source: Source, places: Targets) -> Job[ServiceResult]:
    return lambda name, progress: verify_service(source, places, name, progress)


def _decider(source: Source, places: Targets, window: Window) -> Job[ReviewResult]:
    async def job(name: str, progress: ReadProgress) -> ReviewResult:
        consumed = await committed(places.kafka_bootstrap, name)
        service = service_of(name)
        return await decide_again(source, service, consumed, window=window, progress=progress)

    return job


def _each(names: list[str], job: Job[Outcome]) -> list[Outcome]:
    with shown() as progress_of:

        async def run() -> list[Outcome]:
            return [await job(name, progress_of(name)) for name in names]

        return asyncio.run(run())


def _print(
    results: list[Outcome],
    table_of: Callable[[list[Outcome]], Table],
    sides: tuple[str, str],
    *,
    as_json: bool,
) -> None:
    differences = [difference for result in results for difference in result.differences]
    if as_json:
        progress = {"services": [_counts(result) for result in results]}
        progress["differences"] = [asdict(difference) for difference in differences]
        print_json(progress)
    else:
        console.print(table_of(results))
        for result in results:
            for note in getattr(result, "notes", ()):
                console.print(f"{result.service}: {plain(note)}", markup=False)
        show(differences, sides)
    if differences:
        raise typer.Exit(1)


def _counts(result: ServiceResult | ReviewResult) -> dict[str, Any]:
    counts = asdict(result)
    return counts | {"differences": len(result.differences)}


def show(differences: list[Difference], sides: tuple[str, str] = LIVE) -> None:
    for each in differences[:SHOWN]:
        line = f"{each.service} {plain(each.key)}: {plain(each.what)}"
        console.print(line, style="red", markup=False, soft_wrap=True)
        for name, value in zip(sides, (each.live, each.rebuilt), strict=True):
            if value:
                console.print(f"  {name:8}{plain(value)}", markup=False, soft_wrap=True)
    if len(differences) > SHOWN:
        console.print(f"and {len(differences) - SHOWN} more: see --json")
    if not differences:
        console.print("[green]All equal.[/]")


def _comparisons(results: list[ServiceResult]) -> Table:
    names = ("service", "orders", "events in the cut", "newer", "rows compared", "differences", "s")
    return _table(
        names,
        [
            (r.service, r.orders, r.events, r.newer, r.rows, len(r.differences), r.seconds)
            for r in results
        ],
    )


def _decisions(results: list[ReviewResult]) -> Table:
    shared, external = "as orders share it", "cause not in the log"
    names = ("service", "decided again", shared, "led to nothing", external, "differences", "s")
    return _table(
        names,
        [
            (r.service, r.decisions, r.shared, r.quiet, r.external, len(r.differences), r.seconds)
            for r in results
        ],
    )


def _table(names: tuple[str, ...], rows: list[tuple[str | float, ...]]) -> Table:
    shown = table_of(*names, right=names[1:])
    for *cells, seconds in rows:
        shown.add_row(*map(str, cells), f"{seconds:.1f}")
    return shown
