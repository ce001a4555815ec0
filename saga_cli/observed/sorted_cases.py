"""The cases of a log of any length by subject: sorted in files, so that few are in memory at once.

Records are dealt to buckets by their key, so that a case is in one of them; each bucket is sorted by itself,
and all are merged. In memory is one bucket, then one case of each.
"""

import heapq
import pickle
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, Any, Final, Self
from zlib import crc32

from saga_cli.log.reader import logged
from saga_cli.log.source import LogRecord
from saga_cli.observed.cases import Case, cases_of

BUCKET_RECORDS: Final = 20_000
BUCKETS_MAX: Final = 256
"""As many files are open at once."""


class SortedCases:
    """Takes records, `records` of them at a guess; then gives their cases, once.

    What can't be read is noted in `unread`. Raises OSError where the disk is full.
    """

    def __init__(
        self, records: int, unread: list[str], bucket_records: int = BUCKET_RECORDS
    ) -> None:
        self.unread = unread
        self._held = ExitStack()
        count = min(BUCKETS_MAX, 1 + records // bucket_records)
        self._buckets = [self._file() for _ in range(count)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._held.close()

    def add(self, records: Iterable[LogRecord]) -> None:
        for record in records:
            bucket = self._buckets[crc32(record.key or b"") % len(self._buckets)]
            pickle.dump(record, bucket)

    def __iter__(self) -> Iterator[Case]:
        runs = [self._sorted(bucket) for bucket in self._buckets]
        return heapq.merge(*map(_all_in, runs), key=lambda case: case.subject)

    def _sorted(self, bucket: IO[bytes]) -> IO[bytes]:
        """A bucket's cases in a file of their own, in place of its records."""
        events = (event for kept in _all_in(bucket) if (event := logged(kept, self.unread)))
        run = self._file()
        for case in cases_of(events):
            pickle.dump(case, run)
        bucket.close()
        return run

    def _file(self) -> IO[bytes]:
        return self._held.enter_context(TemporaryFile(prefix="saga-export-"))


def _all_in(file: IO[bytes]) -> Iterator[Any]:
    """What was written to a file of this process's own, from the first."""
    file.seek(0)
    while True:
        try:
            yield pickle.load(file)  # noqa: S301 - nobody else can write there: it has no name
        except EOFError:
            return
