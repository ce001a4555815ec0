"""The archive without a server: each record once, whatever is killed; and one log with the live tail."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from aiokafka.errors import KafkaConnectionError

from saga_cli.archive.archived import ArchivedLog
from saga_cli.archive.checking import Checked, check
from saga_cli.archive.copying import TOPICS, Copier, copy_on
from saga_cli.archive.files import Archive, Piece, digest, gaps
from saga_cli.log.source import HoleError, LogPartition, LogRecord, Span, UnreadableError
from shared_events.catalog import DELIVERY_DETAILS
from tests.cli.memory_log import NOON, MemoryLog, all_of, an_archive, at_all
from tests.support.saga import saga

EVENTS: Final = "order.events"
LATE: Final = datetime(2026, 1, 31, 23, 59, 55, tzinfo=UTC)
PLACES: Final = (
    LogPartition(EVENTS, 0),
    LogPartition(EVENTS, 2),
    LogPartition("payment.dead-letters", 0),
)


class KilledError(Exception):
    """As if the process had ended here."""


@dataclass(frozen=True, slots=True)
class Dying(Archive):
    """Ends before a write, or right after it."""

    calls: tuple[int, ...] = ()
    written: Any = None

    def write(self, place: LogPartition, span: Span, kept: Sequence[LogRecord]) -> Piece:
        self.written.append(span)
        if len(self.written) == self.calls[0]:
            raise KilledError
        piece = Archive.write(self, place, span, kept)
        if len(self.written) == self.calls[1]:
            raise KilledError
        return piece


@pytest.fixture
def log() -> MemoryLog:
    """Three partitions; one goes past midnight."""
    made = MemoryLog()
    made.fill(*PLACES[0], 10, LATE)
    made.fill(*PLACES[1], 4)
    made.fill(*PLACES[2], 1)
    return made


def copied(log: MemoryLog, archive: Archive, limit: int = 3) -> Copier:
    copier = Copier(log, archive, limit=limit)
    asyncio.run(copier.to_end())
    return copier


def checked(log: MemoryLog | None, archive: Archive) -> Checked:
    return asyncio.run(check(archive, log, TOPICS))


def names(archive: Archive) -> list[str]:
    found = (piece.path for pieces in archive.pieces().values() for piece in pieces)
    return [path.removeprefix(f"{archive.root}/") for path in found]


def test_files_are_named_by_topic_day_partition_and_offsets(log: MemoryLog) -> None:
    archive = an_archive()
    copier = copied(log, archive)
    assert (copier.records, copier.written) == (15, 7)
    assert names(archive) == [
        "topic=order.events/day=2026-01-31/0-0-2.parquet",
        "topic=order.events/day=2026-01-31/0-3-4.parquet",
        "topic=order.events/day=2026-02-01/0-5-7.parquet",
        "topic=order.events/day=2026-02-01/0-8-9.parquet",
        "topic=order.events/day=2026-01-31/2-0-2.parquet",
        "topic=order.events/day=2026-01-31/2-3-3.parquet",
        "topic=payment.dead-letters/day=2026-01-31/0-0-0.parquet",
    ]


@pytest.mark.parametrize("where", ["memory", "local"])
def test_what_is_read_back_is_the_log_byte_for_byte(
    log: MemoryLog, where: str, tmp_path: Path
) -> None:
    archive = an_archive() if where == "memory" else Archive.at(str(tmp_path))
    copied(log, archive)
    for place in PLACES:
        assert all_of(ArchivedLog(archive, MemoryLog()), place) == log.kept[place]
    assert checked(log, archive) == Checked(files=7, records=15, compared=15)


@pytest.mark.parametrize("call", range(1, 8))
@pytest.mark.parametrize("written", [False, True])
def test_a_kill_leaves_neither_a_hole_nor_a_double(
    log: MemoryLog, call: int, *, written: bool, tmp_path: Path
) -> None:
    calls = (0, call) if written else (call, 0)
    complete = Archive.at(str(tmp_path))
    with pytest.raises(KilledError):
        copied(log, Dying(complete.url, complete.files, complete.root, calls, []))
    log.fill(*PLACES[0], 2, LATE + timedelta(minutes=1))
    copied(log, complete)
    assert checked(log, complete) == Checked(checked(log, complete).files, 17, 17)
    for place in PLACES:
        assert all_of(ArchivedLog(complete, MemoryLog()), place) == log.kept[place]
    assert copied(log, complete).written == 0


def test_a_file_that_was_half_written_is_none_of_it(log: MemoryLog, tmp_path: Path) -> None:
    (tmp_path / ".writing").write_bytes(b"PAR1 and then the power went")
    archive = Archive.at(str(tmp_path))
    copied(log, archive)
    assert checked(log, archive).wrong == []
    assert {path.name for path in tmp_path.iterdir()} == {
        *("topic=order.events", "topic=payment.dead-letters")
    }


def test_personal_data_are_not_copied_unless_somebody_says_so(log: MemoryLog) -> None:
    log.fill(DELIVERY_DETAILS, 0, 1)
    archive, other = an_archive(), an_archive()
    copied(log, archive)
    asyncio.run(Copier(log, other, [DELIVERY_DETAILS]).to_end())
    assert not any(DELIVERY_DETAILS in name for name in names(archive))
    assert len(names(other)) == 1


def test_offsets_without_a_record_are_covered(log: MemoryLog) -> None:
    del log.kept[PLACES[0]][3:6]
    del log.kept[PLACES[0]][0]
    archive = an_archive()
    copied(log, archive, limit=9)
    (before, after) = (piece.span for piece in archive.pieces()[PLACES[0]])
    assert (before, after) == (Span(0, 6), Span(6, 10))
    assert checked(log, archive).wrong == []


def test_what_was_deleted_before_it_was_archived_is_told_and_the_rest_is_copied(
    log: MemoryLog,
) -> None:
    archive = an_archive()
    copied(log, archive)
    log.fill(*PLACES[0], 10, LATE)
    log.starts[PLACES[0]] = 15
    copier = copied(log, archive)
    assert copier.holes == {PLACES[0]: Span(10, 15)}
    assert copier.records == 5
    joined = ArchivedLog(archive, log)
    with pytest.raises(HoleError, match=r"order\.events/0 begins at 15"):
        all_of(joined, PLACES[0], Span(0, 20))
    assert len(all_of(joined, PLACES[0], Span(15, 20))) == 5
    assert [line for line in checked(log, archive).wrong if "5 offsets" in line] != []


def test_a_file_that_was_lost_is_copied_again_while_kafka_has_it(log: MemoryLog) -> None:
    archive = an_archive()
    copied(log, archive)
    lost = archive.pieces()[PLACES[0]][1]
    archive.files.rm(lost.path)
    assert checked(log, archive).wrong != []
    assert all_of(ArchivedLog(archive, log), PLACES[0]) == log.kept[PLACES[0]]
    assert copied(log, archive).records == 2
    assert checked(log, archive).wrong == []


def test_an_archive_of_another_log_is_refused(log: MemoryLog) -> None:
    archive = an_archive()
    copied(log, archive)
    log.kept[PLACES[1]].pop()
    with pytest.raises(UnreadableError, match="ends at 3, but is archived up to 4"):
        copied(log, archive)
    with pytest.raises(UnreadableError, match="ends at 3, archived up to 4"):
        all_of(ArchivedLog(archive, log), PLACES[1])


def test_only_one_process_writes(log: MemoryLog, tmp_path: Path) -> None:
    archive = Archive.at(str(tmp_path))
    with archive.locked(), pytest.raises(UnreadableError, match="another process"):  # noqa: SIM117
        with archive.locked():
            pass
    with archive.locked():
        copied(log, archive)


def test_a_new_archive_is_its_owners_alone_and_one_that_is_there_stays_as_it_is(
    tmp_path: Path,
) -> None:
    (tmp_path / "there").mkdir(mode=0o755)
    for name, mode in (("new", 0o700), ("there", 0o755)):
        with Archive.at(str(tmp_path / name)).locked():
            assert (tmp_path / name).stat().st_mode & 0o777 == mode


def test_archive_and_tail_are_one_log(log: MemoryLog) -> None:
    archive = an_archive()
    copied(log, archive)
    log.fill(*PLACES[0], 5, LATE + timedelta(hours=1))
    log.starts[PLACES[0]] = 8
    joined = ArchivedLog(archive, log)
    assert asyncio.run(joined.spans([EVENTS])) == {PLACES[0]: Span(0, 15), PLACES[1]: Span(0, 4)}
    for start in range(15):
        found = all_of(joined, PLACES[0], Span(start, 14))
        assert found == log.kept[PLACES[0]][start:14]


def test_instants_are_found_in_the_archive_and_beyond_it(log: MemoryLog) -> None:
    complete = MemoryLog({place: list(kept) for place, kept in log.kept.items()})
    archive = an_archive()
    copied(log, archive)
    for each in (log, complete):
        each.fill(*PLACES[0], 5, LATE + timedelta(hours=1))
    log.starts[PLACES[0]] = 10
    joined = ArchivedLog(archive, log)
    times = [NOON, *(LATE + timedelta(seconds=n) for n in (-1, 4, 4.5, 9, 60, 3601, 9999))]
    for instant in times:
        assert at_all(joined, instant, *PLACES[:2]) == at_all(complete, instant, *PLACES[:2])


def _cut(archive: Archive, path: str) -> None:
    archive.files.pipe_file(path, archive.files.cat_file(path)[:-9])


def _other_bytes(archive: Archive, path: str) -> None:
    archive.files.pipe_file(path, b"rubbish")


def _renamed(archive: Archive, path: str) -> None:
    archive.files.mv(path, path.replace("/0-3-4", "/0-4-4"))


def _another_day(archive: Archive, path: str) -> None:
    archive.files.mv(path, path.replace("=2026-01-31", "=2026-01-30"))


def _swapped(archive: Archive, path: str) -> None:
    other = path.replace("/0-3-4", "/2-3-3")
    archive.files.pipe_file(path, archive.files.cat_file(other))


@pytest.mark.parametrize("spoil", [_cut, _other_bytes, _renamed, _another_day, _swapped])
def test_an_archive_that_somebody_changed_is_found(log: MemoryLog, spoil: Any) -> None:
    archive = an_archive()
    copied(log, archive)
    spoil(archive, archive.pieces()[PLACES[0]][1].path)
    assert checked(None, archive).wrong != []


def test_records_that_are_not_kafkas_are_found(log: MemoryLog) -> None:
    archive = an_archive()
    copied(log, archive)
    spoiled = archive.pieces()[PLACES[1]][0]
    records, _ = archive.read(spoiled)
    archive.write(spoiled.place, spoiled.span, records[:-1])
    assert checked(None, archive).wrong == []
    assert checked(log, archive).wrong == ["order.events/2 0-2: Kafka has other records"]


def test_the_hash_tells_a_missing_value_from_an_empty_one(log: MemoryLog) -> None:
    first = log.kept[PLACES[0]][2]
    hashes = {digest([first]), digest([]), digest([first, first])}
    assert len(hashes) == 3


def test_gaps_are_what_no_file_covers() -> None:
    def covering(*spans: tuple[int, int]) -> list[Piece]:
        return [Piece("", PLACES[0], "", Span(*span)) for span in spans]

    assert gaps([], Span(3, 5)) == [Span(3, 5)]
    assert gaps(covering((0, 4), (2, 3), (6, 8)), Span(0, 10)) == [Span(4, 6), Span(8, 10)]
    assert gaps(covering((5, 9)), Span(0, 7)) == [Span(0, 5)]
    assert gaps(covering((0, 9)), Span(0, 9)) == []


@dataclass
class FailingLog(MemoryLog):
    """A broker that is away once, and at the end asks the follower to stop."""

    asked: int = 0

    async def spans(self, topics: Iterable[str]) -> dict[LogPartition, Span]:
        self.asked += 1
        if self.asked == 1:
            raise KafkaConnectionError("away")
        if self.asked == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return await MemoryLog.spans(self, topics)


def test_a_follower_outlives_an_outage_and_ends_when_it_is_asked(
    log: MemoryLog, capsys: pytest.CaptureFixture[str]
) -> None:
    failing, archive = FailingLog(log.kept), an_archive()
    asyncio.run(copy_on(Copier(failing, archive), 0.01))
    assert "away" in capsys.readouterr().err
    assert failing.asked == 3
    assert checked(log, archive).compared == 15


@pytest.mark.long(2)
def test_other_commands_do_not_wait_for_what_only_the_archive_needs() -> None:
    code = "import saga_cli.main, sys; print({'pyarrow', 'duckdb', 'fsspec'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "set()\n"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("archive",), "target"),
        (("archive", "nowhere://x", "--verify", "--offline"), "no way to 'nowhere://x'"),
        (("archive", "here", "--offline"), "--offline is for --verify"),
        (("archive", "here", "--verify", "--offline"), "there is no archive at 'here'"),
        (("archive", "here"), "no stack runs in this folder"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_exit_code_2(
    words: tuple[str, ...], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = saga(*words)
    assert result.code == 2
    assert len(result.err.splitlines()) == 1
    assert why in result.err
