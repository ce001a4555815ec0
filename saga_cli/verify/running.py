"""Runs `saga verify`: what is compared of each service, and what is printed of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any, Final, TypeVar

import typer
from rich.table import Table

from guarantees.declared import configured
from saga_cli.clients import in_one_line
from saga_cli.log.opened import opened
from saga_cli.log.source import Source
from saga_cli.progress import ReadProgress, no_progress, shown
from saga_cli.targets import Targets, found
from saga_cli.terminal import console, fail, plain, print_json, table_of, write
from saga_cli.topology import BY_NAME, SERVICES
from saga_cli.verify.comparing import compare
from saga_cli.verify.deciding import ReviewResult, Window, decide_again
from saga_cli.verify.details import committed, compare_details
from saga_cli.verify.live import in_postgres
from saga_cli.verify.results import Difference, ServiceResult

SHOWN: Final = 20
LIVE: Final = ("live", "rebuilt")
THEN: Final = ("then", "now")
COMPARED: Final = {
    "orders": "orders",
    "events in the cut": "events",
    "newer": "newer",
    "rows compared": "rows",
}
DECIDED: Final = {
    "decided again": "decisions",
    "as orders share it": "shared",
    "led to nothing": "quiet",
    "cause not in the log": "external",
}
"""Columns of the tables, and the counts in them."""
Outcome = TypeVar("Outcome", ServiceResult, ReviewResult)


def run(names: list[str], window: Window | None, archive: str, *, as_json: bool) -> None:
    """Compare, or where there is a window decide again; the command ends with 1 or 2 if need be."""
    places = found()
    try:
        with in_one_line():
            source = opened(places, archive)
            if window is None:
                compared = _each(names, lambda n, p: verify_service(source, places, n, p))
                _print(compared, COMPARED, LIVE, as_json=as_json)
            else:
                decided = _each(names, lambda n, p: _decide(source, places, n, window, p))
                _print(decided, DECIDED, THEN, as_json=as_json)
    except (AssertionError, ValueError) as error:  # `verify` says which events make no sense
        fail(f"the log can't be folded: {error}", 1)


async def verify_all(places: Targets) -> list[ServiceResult]:
    source = opened(places)
    return [await verify_service(source, places, spec.name) for spec in SERVICES]


async def verify_service(
    source: Source, places: Targets, name: str, progress: ReadProgress = no_progress
) -> ServiceResult:
    service, url = configured(name), places.store_of(name)
    if not BY_NAME[name].has_database:
        from saga_cli.verify.redis_live import (  # noqa: PLC0415 - it needs the service
            compare_customers,
            in_redis,
        )

        result = await compare(source, service, in_redis(url), progress, with_shared=False)
        await compare_customers(source, service, url, result, progress)
        return result
    consumed = await committed(places.kafka_bootstrap, name) if service.projections else {}
    details = ServiceResult(name)

    @asynccontextmanager
    async def snapshot() -> AsyncIterator[Any]:
        async with in_postgres(name, url) as live:
            yield live
            if service.projections:
                await compare_details(source, live, consumed, details, progress)

    result = await compare(source, service, snapshot(), progress)
    result.add(details)
    return result


async def _decide(
    source: Source, places: Targets, name: str, window: Window, progress: ReadProgress
) -> ReviewResult:
    consumed = await committed(places.kafka_bootstrap, name)
    return await decide_again(source, configured(name), consumed, window=window, progress=progress)


def _each(
    names: list[str], job: Callable[[str, ReadProgress], Coroutine[Any, Any, Outcome]]
) -> list[Outcome]:
    with shown() as progress_of:

        async def run() -> list[Outcome]:
            return [await job(name, progress_of(name)) for name in names]

        return asyncio.run(run())


def _print(
    results: list[Outcome], columns: dict[str, str], sides: tuple[str, str], *, as_json: bool
) -> None:
    differences = [difference for result in results for difference in result.differences]
    if as_json:
        services = [{**asdict(r), "differences": len(r.differences)} for r in results]
        print_json({"services": services, "differences": [asdict(d) for d in differences]})
    else:
        console.print(_table(results, columns))
        for result in results:
            for note in getattr(result, "notes", ()):
                console.print(f"{result.service}: {plain(note)}", markup=False)
        _print_differences(differences, sides)
    if differences:
        raise typer.Exit(1)


def _print_differences(differences: list[Difference], sides: tuple[str, str]) -> None:
    for each in differences[:SHOWN]:
        write(f"{each.service} {plain(each.key)}: {plain(each.what)}", "red")
        for name, value in zip(sides, (each.live, each.rebuilt), strict=True):
            if value:
                write(f"  {name:8}{plain(value)}")
    if len(differences) > SHOWN:
        console.print(f"and {len(differences) - SHOWN} more: see --json")
    if not differences:
        console.print("[green]All equal.[/]")


def _table(results: Sequence[ServiceResult | ReviewResult], columns: dict[str, str]) -> Table:
    names = (*columns, "differences", "s")
    shown = table_of("service", *names, right=names)
    for each in results:
        counts = (*(getattr(each, field) for field in columns.values()), len(each.differences))
        shown.add_row(each.service, *map(str, counts), f"{each.seconds:.1f}")
    return shown
