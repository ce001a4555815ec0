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
from saga_cli.targets import Places, found
from saga_cli.terminal import console, fail, plain, print_json, table_of
from saga_cli.verify.deciding import Decided, Window, decide_again
from saga_cli.verify.details import committed
from saga_cli.verify.results import Difference, Result, Told
from saga_cli.verify.whole import verify_service

SHOWN: Final = 20
LIVE: Final = ("live", "rebuilt")
THEN: Final = ("then", "now")
Outcome = TypeVar("Outcome", Result, Decided)
Job = Callable[[str, Told], Coroutine[Any, Any, Outcome]]


def run(names: list[str], window: Window | None, archive: str, *, as_json: bool) -> None:
    """Compare, or where there is a window decide again; the command ends with 1 or 2 if need be."""
    places = found()
    try:
        with in_one_line():
            source = opened(places, archive)
            if window is None:
                _tell(_each(names, _verifier(source, places)), _comparisons, LIVE, as_json=as_json)
            else:
                job = _decider(source, places, window)
                _tell(_each(names, job), _decisions, THEN, as_json=as_json)
    except (AssertionError, ValueError) as error:  # `verify` says which events make no sense
        fail(f"the log can't be folded: {error}", 1)


def _verifier(source: Source, places: Places) -> Job[Result]:
    return lambda name, told: verify_service(source, places, name, told)


def _decider(source: Source, places: Places, window: Window) -> Job[Decided]:
    async def job(name: str, told: Told) -> Decided:
        consumed = await committed(places.kafka_bootstrap, name)
        service = service_of(name)
        return await decide_again(source, service, consumed, window=window, told=told)

    return job


def _each(names: list[str], job: Job[Outcome]) -> list[Outcome]:
    with shown() as told_of:

        async def run() -> list[Outcome]:
            return [await job(name, told_of(name)) for name in names]

        return asyncio.run(run())


def _tell(
    results: list[Outcome],
    table_of: Callable[[list[Outcome]], Table],
    sides: tuple[str, str],
    *,
    as_json: bool,
) -> None:
    differences = [difference for result in results for difference in result.differences]
    if as_json:
        told = {"services": [_counts(result) for result in results]}
        told["differences"] = [asdict(difference) for difference in differences]
        print_json(told)
    else:
        console.print(table_of(results))
        for result in results:
            for note in getattr(result, "notes", ()):
                console.print(f"{result.service}: {plain(note)}", markup=False)
        show(differences, sides)
    if differences:
        raise typer.Exit(1)


def _counts(result: Result | Decided) -> dict[str, Any]:
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
        console.print(f"and {len(differences) - SHOWN} more: --json tells all")
    if not differences:
        console.print("[green]All equal.[/]")


def _comparisons(results: list[Result]) -> Table:
    names = ("service", "orders", "events in the cut", "newer", "rows compared", "differences", "s")
    return _table(
        names,
        [
            (r.service, r.orders, r.events, r.newer, r.rows, len(r.differences), r.seconds)
            for r in results
        ],
    )


def _decisions(results: list[Decided]) -> Table:
    shared, elsewhere = "as orders share it", "cause not in the log"
    names = ("service", "decided again", shared, "led to nothing", elsewhere, "differences", "s")
    return _table(
        names,
        [
            (r.service, r.decisions, r.shared, r.quiet, r.elsewhere, len(r.differences), r.seconds)
            for r in results
        ],
    )


def _table(names: tuple[str, ...], rows: list[tuple[str | float, ...]]) -> Table:
    shown = table_of(*names, right=names[1:])
    for *cells, seconds in rows:
        shown.add_row(*map(str, cells), f"{seconds:.1f}")
    return shown
