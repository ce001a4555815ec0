"""Parquet files of records, each named by what it covers: nothing else says what is archived.

topic=order.forward/day=2026-01-31/3-0-4999.parquet: offsets 0 to 4999 of partition 3.
"""

import fcntl
import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem
from pydantic_core import to_json

from chassis.byte_json import text_of
from saga_cli.log.source import LogPartition, LogRecord, Span, UnreadableError

NAME: Final = re.compile(
    r"topic=([^/]+)/day=(\d{4}-\d\d-\d\d)/(\d+)-(\d+)-(\d+)\.parquet$", re.ASCII
)
HASH: Final = b"saga.sha256"
HEADER: Final = pa.struct([("name", pa.string()), ("value", pa.binary())])
SCHEMA: Final = pa.schema(
    [
        ("topic", pa.string()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("timestamp_ms", pa.int64()),
        ("key", pa.binary()),
        ("value", pa.binary()),
        ("headers", pa.list_(HEADER)),
    ]
)


@dataclass(frozen=True, slots=True)
class Piece:
    """One file. Its span is what it covers; a log may have fewer records than offsets."""

    path: str
    place: LogPartition
    day: str
    span: Span

    def __str__(self) -> str:
        return f"{self.place} {self.span.start}-{self.span.end - 1}"


@dataclass(frozen=True, slots=True)
class Archive:
    url: str
    files: Any
    root: str

    @classmethod
    def at(cls, url: str) -> "Archive":
        """Raises UnreadableError for a URL of a kind that nobody here reads."""
        try:
            files, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise UnreadableError(f"there is no way to {url!r}: {error}") from error
        return cls(url, files, root.rstrip("/"))

    def pieces(self, topics: Iterable[str] | None = None) -> dict[LogPartition, list[Piece]]:
        """What is archived of topics, or of all, by offset; where pieces overlap, the longer first."""
        self.files.invalidate_cache()
        folders = [self.root] if topics is None else [f"{self.root}/topic={t}" for t in topics]
        found: dict[LogPartition, list[Piece]] = {}
        for path in (path for folder in folders for path in self.files.find(folder)):
            if named := NAME.search(path):
                topic, day, *numbers = named.groups()
                partition, first, last = map(int, numbers)
                piece = Piece(path, LogPartition(topic, partition), day, Span(first, last + 1))
                found.setdefault(piece.place, []).append(piece)
        for pieces in found.values():
            pieces.sort(key=lambda piece: (piece.span.start, -piece.span.end))
        return dict(sorted(found.items()))

    def write(self, place: LogPartition, span: Span, kept: Sequence[LogRecord]) -> Piece:
        """Keep records of one day for what is between two offsets; all of the file is there, or none."""
        day = day_of(kept[0])
        folder = f"{self.root}/topic={place.topic}/day={day}"
        path = f"{folder}/{place.partition}-{span.start}-{span.end - 1}.parquet"
        self.files.makedirs(folder, exist_ok=True)
        if isinstance(self.files, LocalFileSystem):
            _moved_into_place(Path(self.root, ".writing"), Path(path), _parquet(kept))
        else:
            self.files.pipe_file(path, _parquet(kept))  # one PUT
        return Piece(path, place, day, span)

    def read(self, piece: Piece) -> tuple[list[LogRecord], str]:
        """Its records, and the hash that was written with them."""
        with _legible(piece):
            table = pq.ParquetFile(io.BytesIO(self.files.cat_file(piece.path))).read()
            return _kept(table), (table.schema.metadata or {})[HASH].decode()

    def times(self, piece: Piece) -> Iterator[tuple[int, int]]:
        """Offsets, and when each was appended."""
        with _legible(piece):
            file = pq.ParquetFile(io.BytesIO(self.files.cat_file(piece.path)))
            table = file.read(columns=["offset", "timestamp_ms"])
        return zip(*(column.to_pylist() for column in table.columns), strict=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """For the one who writes; on an object store there is no lock to take.

        A folder that is made here is its owner's alone, as nothing erases what is copied to it.
        """
        if not isinstance(self.files, LocalFileSystem):
            yield
            return
        Path(self.root).mkdir(mode=0o700, parents=True, exist_ok=True)
        with Path(self.root, ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UnreadableError(f"another process writes to {self.url}") from error
            yield


@contextmanager
def _legible(piece: Piece) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, KeyError) as error:
        raise UnreadableError(f"{piece.path}: {' '.join(str(error).split())}") from error


def day_of(kept: LogRecord) -> str:
    return datetime.fromtimestamp(kept.timestamp_ms / 1000, UTC).date().isoformat()


def span_of(pieces: Sequence[Piece]) -> Span:
    """From the first offset that any of them covers to the last; the pieces are in order."""
    return Span(pieces[0].span.start, max(piece.span.end for piece in pieces))


def gaps(pieces: Iterable[Piece], within: Span) -> list[Span]:
    """What of a span no piece covers; the pieces are in order."""
    found, reached = [], within.start
    for span in (*(piece.span for piece in pieces), Span(within.end, within.end)):
        found.append(Span(reached, min(span.start, within.end)))
        reached = max(reached, span.end)
    return [gap for gap in found if gap.start < gap.end]


def digest(kept: Iterable[LogRecord]) -> str:
    """Of a line of JSON for each record; bytes as Latin-1 text, which keeps each of them."""
    sum_ = sha256()
    for r in kept:
        headers = [(name, text_of(raw)) for name, raw in r.headers]
        place = (r.topic, r.partition, r.offset, r.timestamp_ms)
        sum_.update(to_json([*place, text_of(r.key), text_of(r.value), headers]) + b"\n")
    return sum_.hexdigest()


def _parquet(kept: Sequence[LogRecord]) -> bytes:
    rows = (
        (r.topic, r.partition, r.offset, r.timestamp_ms, r.key, r.value, r.headers) for r in kept
    )
    schema = SCHEMA.with_metadata({HASH: digest(kept)})
    columns = zip(*rows, strict=True)
    table = pa.table([*map(pa.array, columns, schema.types)], schema)
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


def _kept(table: Any) -> list[LogRecord]:
    *columns, headers = (table[name].to_pylist() for name in SCHEMA.names)
    topics, partitions, offsets, times, keys, values = columns
    named = (tuple((h["name"], h["value"]) for h in row) for row in headers)
    return list(map(LogRecord, topics, partitions, offsets, keys, values, named, times))


def _moved_into_place(temporary: Path, path: Path, data: bytes) -> None:
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
