"""An archive read again: are its files complete, is there one for each offset, is it what Kafka has?"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from saga_cli.archive.files import Archive, Piece, day_of, digest
from saga_cli.log.source import LogRecord, Source, Span, UnreadableError
from saga_cli.progress import ReadProgress, no_progress

NOTHING: Final = Span(0, 0)


@dataclass
class Checked:
    """`compared` are records that Kafka has as well."""

    files: int = 0
    records: int = 0
    compared: int = 0
    wrong: list[str] = field(default_factory=list)


async def check(
    archive: Archive,
    live: Source | None,
    topics: Iterable[str],
    progress: ReadProgress = no_progress,
) -> Checked:
    found = Checked()
    archived = archive.pieces(topics)
    kept = await live.spans(topics) if live else {}
    progress(0, sum(pieces[-1].span.end - pieces[0].span.start for pieces in archived.values()))
    for place, pieces in archived.items():
        _contiguous(pieces, found)
        for piece in pieces:
            records = _read(archive, piece, found)
            progress(len(records), 0)
            shared = kept.get(place, NOTHING).within(*piece.span)
            if live and records and shared.start < shared.end:
                copied = [r for r in records if shared.start <= r.offset < shared.end]
                there = [r async for batch in live.read({place: shared}) for r in batch]
                found.compared += len(there)
                if digest(there) != digest(copied):
                    found.wrong.append(f"{piece}: Kafka has other records")
    return found


def _contiguous(pieces: list[Piece], found: Checked) -> None:
    reached = pieces[0].span.start
    for piece in pieces:
        if piece.span.start > reached:
            found.wrong.append(
                f"{piece}: {piece.span.start - reached} offsets before it are missing"
            )
        if piece.span.start < reached:
            found.wrong.append(f"{piece}: begins before the file before it ends")
        reached = max(reached, piece.span.end)


def _read(archive: Archive, piece: Piece, found: Checked) -> list[LogRecord]:
    found.files += 1
    try:
        records, expected = archive.read(piece)
    except UnreadableError as error:
        found.wrong.append(f"{piece}: can't be read: {error}")
        return []
    found.records += len(records)
    offsets = [kept.offset for kept in records]
    places = {kept.place for kept in records}
    wrong = {
        "its records are not those that were written": digest(records) != expected,
        "it holds records that its name does not cover": places != {piece.place}
        or any(not piece.span.start <= offset < piece.span.end for offset in offsets)
        or {day_of(kept) for kept in records} != {piece.day},
        "its records are not in order": offsets != sorted(set(offsets)),
    }
    found.wrong += [f"{piece}: {what}" for what, is_so in wrong.items() if is_so]
    return records
