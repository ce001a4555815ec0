"""Runs `saga verify`: what is compared of each service, and what is printed of it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Final

import typer
from rich.table import Table

from chassis.postgres import ProjectedTable
from guarantees.declared import configured
from saga_cli.clients import in_one_line
from saga_cli.log.kafka import committed
from saga_cli.log.opened import opened
from saga_cli.log.source import Source
from saga_cli.progress import ReadProgress, no_progress, shown
from saga_cli.targets import Targets, found
from saga_cli.terminal import console, fail, plain, print_json, table_of, write
from saga_cli.topology import BY_NAME, SERVICES
from saga_cli.verify.comparing import compare
from saga_cli.verify.deciding import ReviewResult, Window, decide_again
from saga_cli.verify.details import ProjectedComparison, ProjectedTableRows, compare_projected
from saga_cli.verify.live import in_postgres
from saga_cli.verify.results import Difference, ServiceResult, ends_of

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
Results = Sequence[ServiceResult | ReviewResult]


def run(names: list[str], window: Window | None, archive: str, *, as_json: bool) -> None:
    """Compare, or where there is a window decide again; the command ends with 1 or 2 if need be."""
    places = found()
    try:
        with in_one_line(), shown() as progress_of:
            results = asyncio.run(
                _each(opened(places, archive), places, names, window, progress_of)
            )
    except (AssertionError, ValueError) as error:  # `verify` says which events make no sense
        fail(f"the log can't be folded: {error}", 1)
    _print(results, *((COMPARED, LIVE) if window is None else (DECIDED, THEN)), as_json=as_json)


async def _each(
    source: Source,
    places: Targets,
    names: Sequence[str],
    window: Window | None,
    progress_of: Callable[[str], ReadProgress],
) -> Results:
    results: list[ServiceResult | ReviewResult] = []
    for name in names:
        started, progress = time.monotonic(), progress_of(name)
        if window is None:
            results.append(await verify_service(source, places, name, progress))
        else:
            consumed = await committed(places.kafka, name)
            again = decide_again(
                source, configured(name), consumed, window=window, progress=progress
            )
            results.append(await again)
        results[-1].seconds = time.monotonic() - started
    return results


async def verify_all(places: Targets) -> list[ServiceResult]:
    source = opened(places)
    return [await verify_service(source, places, spec.name) for spec in SERVICES]


async def verify_service(
    source: Source, places: Targets, name: str, progress: ReadProgress = no_progress
) -> ServiceResult:
    service, url = configured(name), places.store_of(name)
    before = await ends_of(source, service.log_topics)
    if not BY_NAME[name].has_database:
        from saga_cli.verify.redis_live import (  # noqa: PLC0415 - it needs the service
            compare_customers,
            compare_hashes,
            in_redis,
        )

        async with in_redis(url) as hashes:
            result = await compare(source, service, hashes, before, progress)
        await compare_customers(source, service, url, result, progress)
        await compare_hashes(source, service, url, result, progress)
        return result
    consumed = await committed(places.kafka, name) if service.projections else {}
    async with in_postgres(name, url) as rows:
        result = await compare(source, service, rows, before, progress)
        for topic, table in service.projections.items():
            assert isinstance(table, ProjectedTable), "where there is a database"
            pending = frozenset(row.key for row in rows.pending if row.topic == topic)
            live = ProjectedComparison(
                table, ProjectedTableRows(table, rows), consumed, result, pending
            )
            await compare_projected(source, topic, live, progress)
    return result


def _print(
    results: Results, columns: dict[str, str], sides: tuple[str, str], *, as_json: bool
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


def _table(results: Results, columns: dict[str, str]) -> Table:
    names = (*columns, "differences", "s")
    shown = table_of("service", *names, right=names)
    for each in results:
        counts = (*(getattr(each, field) for field in columns.values()), len(each.differences))
        shown.add_row(each.service, *map(str, counts), f"{each.seconds:.1f}")
    return shown
