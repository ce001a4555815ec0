"""Runs `saga flow`, `variants` and `export`."""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import typer

from guarantees.counts import counted
from saga_cli.clients import in_one_line
from saga_cli.log.opened import opened
from saga_cli.log.reader import TOPICS, print_unread, read_spans
from saga_cli.observed import case_logs, flow_shown
from saga_cli.observed.cases import Case, Period, file_cases, file_records, read_cases
from saga_cli.observed.flow import EdgeStatus, Flow, ObservedEdge
from saga_cli.observed.ocel import ocel
from saga_cli.observed.sorted_cases import SortedCases
from saga_cli.observed.variants import RARE, Variant, Variants
from saga_cli.progress import shown
from saga_cli.targets import found
from saga_cli.terminal import add_plain, console, fail, plain, print_json, table_of

Adding = Callable[[Iterable[Case]], None]


def each_case(archive: str, file: Path | None, period: Period, add: Adding) -> None:
    """Hand over all cases of a log that began in a period, in parts."""
    unread: list[str] = []

    def within(cases: Iterable[Case]) -> None:
        add(case for case in cases if period.has(case))

    async def read() -> None:
        with shown() as progress_of:
            async for cases in read_cases(opened(found(), archive), unread, progress_of("log")):
                within(cases)

    with in_one_line():
        if file is None:
            asyncio.run(read())
        else:
            for cases in file_cases(file, unread):
                within(cases)
    print_unread(unread)


def flow(archive: str, file: Path | None, period: Period, form: str) -> None:
    """The command ends with 1 where an edge was seen that nobody declared."""
    observed = Flow()
    each_case(archive, file, period, observed.add)
    edges = observed.edges()
    if form == "json":
        print_json(flow_shown.as_json(edges))
    elif form in flow_shown.AS_TEXT:
        sys.stdout.write("\n".join(flow_shown.AS_TEXT[form](edges)) + "\n")
    else:
        console.print(flow_shown.table(edges))
        console.print(counts(edges))
    if any(edge.status is EdgeStatus.UNDECLARED for edge in edges):
        raise typer.Exit(1)


def counts(edges: Sequence[ObservedEdge]) -> str:
    """How many edges of each kind there are."""
    by = Counter(edge.status for edge in edges)
    events = sum(edge.count for edge in edges)
    seen = f"{counted(events, 'event')} on {counted(by[EdgeStatus.DECLARED], 'declared edge')}"
    return f"{seen}, {by[EdgeStatus.UNDECLARED]} undeclared; {by[EdgeStatus.UNSEEN]} declared were never seen"


def variants(archive: str, file: Path | None, period: Period, *, as_json: bool) -> None:
    observed = Variants()
    each_case(archive, file, period, observed.add)
    all_of_them = observed.found()
    if not all_of_them:
        fail("the log has no order in this period", 1)
    if as_json:
        print_json([{**asdict(each), "rare": each.is_rare} for each in all_of_them])
        return
    table = table_of(
        "#", "orders", "share", "", "ends with", "example", right={"#", "orders", "share"}
    )
    for each in all_of_them:
        shares = (str(each.number), str(each.count), f"{each.share:.1%}")
        add_plain(table, *shares, "rare" if each.is_rare else "", each.end, each.example)
    console.print(table)
    _explain(all_of_them, observed.orders)


def _explain(found_: Sequence[Variant], orders: int) -> None:
    rare = sum(each.is_rare for each in found_)
    console.print(
        f"orders: {orders}, variants: {len(found_)}, rare ones (below {RARE:.0%}): {rare}"
    )
    console.print(f"The most frequent: {plain(found_[0].shape)}", markup=False, soft_wrap=True)


def export(archive: str, file: Path | None, period: Period, form: str) -> None:
    """Sorted on disk, and printed as it is made: a log of any length takes the same memory."""
    unread: list[str] = []
    with in_one_line(), SortedCases(_size_of(archive, file), unread) as cases:
        _take_all(cases, archive, file)
        made = EXPORTS[form](case for case in cases if period.has(case))
        sys.stdout.writelines(f"{line}\n" for line in made)
    print_unread(unread)


EXPORTS: Final[Mapping[str, Callable[[Iterable[Case]], Iterator[str]]]] = {
    "ocel2": ocel,
    "xes": case_logs.xes,
    "csv": case_logs.table,
}
RECORD_BYTES: Final = 50
"""Of a record in a file, packed: a guess that is too low makes more buckets than are needed."""


def _size_of(archive: str, file: Path | None) -> int:
    """How many records there are, at a guess."""
    if file is not None:
        return file.stat().st_size // RECORD_BYTES

    async def counted_() -> int:
        spans = await opened(found(), archive).spans(TOPICS)
        return sum(span.end - span.start for span in spans.values())

    return asyncio.run(counted_())


def _take_all(cases: SortedCases, archive: str, file: Path | None) -> None:
    async def read() -> None:
        source = opened(found(), archive)
        with shown() as progress_of:
            spans, progress = await source.spans(TOPICS), progress_of("log")
            progress(0, sum(span.end - span.start for span in spans.values()))
            async for batch in read_spans(source, spans, progress):
                cases.add(batch)

    if file is None:
        asyncio.run(read())
    else:
        cases.add(file_records(file))
