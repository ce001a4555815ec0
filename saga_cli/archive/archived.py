"""An archive, and beyond it the log that it is of."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from saga_cli.archive.files import Archive, Piece, span_of
from saga_cli.log.source import LogPartition, LogRecord, Source, Span, UnreadableError, merged


@dataclass(frozen=True, slots=True)
class ArchivedLog:
    archive: Archive
    live: Source

    async def spans(self, topics: Iterable[str]) -> dict[LogPartition, Span]:
        """Raises UnreadableError if Kafka ends before the archive does: it is of another log."""
        names = tuple(topics)
        archived = await asyncio.to_thread(self.archive.pieces, names)
        found = await self.live.spans(names)
        for place, pieces in archived.items():
            covered = span_of(pieces)
            span = found.get(place, covered)
            if span.end < covered.end:
                raise UnreadableError(f"{place} ends at {span.end}, archived up to {covered.end}")
            found[place] = Span(min(covered.start, span.start), span.end)
        return found

    async def read(self, spans: Mapping[LogPartition, Span]) -> AsyncIterator[list[LogRecord]]:
        pieces = await asyncio.to_thread(self.archive.pieces, {place.topic for place in spans})
        within = {
            place: [
                p for p in pieces.get(place, ()) if p.span.end > s.start and p.span.start < s.end
            ]
            for place, s in spans.items()
        }
        archived = (self._archived(p, spans[p], some) for p, some in within.items())
        async for batch in merged(archived):
            yield batch
        reached = {place: some[-1].span.end if some else 0 for place, some in within.items()}
        rest = {p: Span(max(s.start, reached[p]), s.end) for p, s in spans.items()}
        if ahead := {place: span for place, span in rest.items() if span.start < span.end}:
            async for batch in self.live.read(ahead):
                yield batch

    async def _archived(
        self, place: LogPartition, span: Span, pieces: Iterable[Piece]
    ) -> AsyncIterator[list[LogRecord]]:
        """Up to the end of the last piece; what no piece holds between them is in Kafka still."""
        reached = span.start
        for piece in pieces:
            if reached < piece.span.start:
                async for batch in self.live.read({place: Span(reached, piece.span.start)}):
                    yield batch
                reached = piece.span.start
            records, _ = await asyncio.to_thread(self.archive.read, piece)
            yield [kept for kept in records if reached <= kept.offset < span.end]
            reached = piece.span.end

    async def offsets_at(
        self, instant: datetime, places: Iterable[LogPartition]
    ) -> Mapping[LogPartition, int]:
        wanted = list(places)
        pieces = await asyncio.to_thread(self.archive.pieces, {place.topic for place in wanted})
        found: dict[LogPartition, int] = {}
        for place in wanted:
            at = await asyncio.to_thread(self._first_at, instant, pieces.get(place, []))
            if at is not None:
                found[place] = at
        live = await self.live.spans({place.topic for place in wanted})
        ahead = [place for place in wanted if place not in found and place in live]
        found |= await self.live.offsets_at(instant, ahead) if ahead else {}
        lost = [place for place in wanted if place not in found]
        return found | {place: pieces[place][-1].span.end for place in lost}

    def _first_at(self, instant: datetime, pieces: Iterable[Piece]) -> int | None:
        """The first archived offset at or after an instant: what is of an earlier day is before it."""
        day, at_ms = instant.astimezone(UTC).date().isoformat(), instant.timestamp() * 1000
        later = (piece for piece in pieces if piece.day >= day)
        times = (time for piece in later for time in self.archive.times(piece))
        return next((offset for offset, ms in times if ms >= at_ms), None)
