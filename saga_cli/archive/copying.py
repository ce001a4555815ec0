"""Runs `saga archive`: what is not archived yet is copied, each offset once, whoever is killed when."""

import asyncio
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import typer

from chassis import clock
from chassis.events import dead_letters_of
from guarantees.counts import counted
from saga_cli.archive.checking import check
from saga_cli.archive.files import Archive, day_of, gaps, span_of
from saga_cli.clients import UNAVAILABLE, in_one_line
from saga_cli.log import reader
from saga_cli.log.kafka import KafkaLog
from saga_cli.log.source import LogPartition, LogRecord, Source, Span, UnreadableError
from saga_cli.progress import ReadProgress, no_progress, shown
from saga_cli.targets import found
from saga_cli.terminal import asked_to_stop, console, fail, message_of, write
from saga_cli.topology import SERVICES

TOPICS: Final = (*reader.TOPICS, *(dead_letters_of(spec.name) for spec in SERVICES))
"""All but the compacted ones: a tombstone must be able to erase what they hold of persons and cards."""
RECORDS: Final = 50_000
BYTES: Final = 32 * 1024 * 1024


@dataclass
class Copier:
    """`holes` are spans that were deleted before anybody archived them; all else is copied."""

    source: Source
    archive: Archive
    topics: Iterable[str] = TOPICS
    progress: ReadProgress = no_progress
    limit: int = RECORDS
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    holes: dict[LogPartition, Span] = field(default_factory=dict)
    records: int = 0
    written: int = 0

    async def to_end(self) -> None:
        """Up to what is the end now; after a request to stop, only the file at hand is finished."""
        archived = self.archive.pieces(self.topics)
        kept = await self.source.spans(self.topics)
        todo: list[tuple[LogPartition, Span]] = []
        for place, span in sorted(kept.items()):
            pieces = archived.get(place, [])
            covered = span_of(pieces) if pieces else span
            if covered.end > span.end:
                raise UnreadableError(
                    f"{place} ends at {span.end}, but is archived up to {covered.end}: "
                    "is it another log?"
                )
            for gap in gaps(pieces, Span(min(span.start, covered.start), span.end)):
                if gap.start < span.start:
                    self.holes[place] = gap.within(0, span.start)
                todo.append((place, gap.within(span.start, gap.end)))
        self.progress(0, sum(span.end - span.start for _, span in todo))
        for place, span in todo:
            if span.start < span.end and not self.stopping.is_set():
                await self._copy(place, span)

    async def _copy(self, place: LogPartition, span: Span) -> None:
        start, size = span.start, 0
        lot: list[LogRecord] = []
        async for batch in self.source.read({place: span}):
            for kept in batch:
                is_full = len(lot) >= self.limit or size >= BYTES
                if lot and (is_full or day_of(kept) != day_of(lot[-1])):
                    self._write(place, Span(start, kept.offset), lot)
                    start, lot, size = kept.offset, [], 0
                    if self.stopping.is_set():
                        return
                lot.append(kept)
                size += len(kept.value or b"")
        if lot:
            self._write(place, Span(start, span.end), lot)

    def _write(self, place: LogPartition, span: Span, lot: list[LogRecord]) -> None:
        self.archive.write(place, span, lot)
        self.records += len(lot)
        self.written += 1
        self.progress(len(lot), 0)


def copy(target: str, topics: list[str] | None, every_s: float | None) -> None:
    """Once, or until SIGTERM; the command ends with 1 if something is missing for good."""
    with in_one_line():
        source, archive = KafkaLog(found().kafka), Archive.at(target)
        with archive.locked(), shown() as progress_of:
            copier = Copier(source, archive, topics or TOPICS, progress_of("archive"))
            asyncio.run(copy_on(copier, every_s))
    for place, span in copier.holes.items():
        deleted = f"{place}: {span.start}-{span.end - 1} were deleted"
        sys.stderr.write(f"saga: {deleted} before they were archived\n")
    if copier.holes:
        raise typer.Exit(1)
    if every_s is None and copier.stopping.is_set():
        fail("stopped before the end", 1)


async def copy_on(copier: Copier, every_s: float | None) -> None:
    copier.stopping = asked_to_stop()
    if every_s is None:
        await copier.to_end()
        _print(copier)
        return
    while not copier.stopping.is_set():
        before = copier.written
        try:
            await copier.to_end()
        except UNAVAILABLE as error:  # it may be back by the next time
            sys.stderr.write(f"saga: {message_of(error)}\n")
        if copier.written > before:
            _print(copier)
        await clock.wait_for(copier.stopping, every_s)


def _print(copier: Copier) -> None:
    console.print(
        f"{counted(copier.records, 'record')} in {counted(copier.written, 'file')} to {copier.archive.url}"
    )


def check_all(target: str, topics: list[str] | None, *, offline: bool) -> None:
    with in_one_line(), shown() as progress_of:
        live = None if offline else KafkaLog(found().kafka)
        progress = progress_of("archive")
        checked = asyncio.run(check(Archive.at(target), live, topics or TOPICS, progress))
    if not checked.files:
        fail(f"there is no archive at {target!r}")
    console.print(
        f"{counted(checked.records, 'record')} in {counted(checked.files, 'file')}; "
        f"{checked.compared} of them compared with Kafka"
    )
    for line in checked.wrong:
        write(line, "red")
    if checked.wrong:
        raise typer.Exit(1)
