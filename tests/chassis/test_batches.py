"""A record that can't be read is handed out as one that says so; nothing else is lost for it."""

import gzip
from collections.abc import Callable
from typing import Any, Final

import cramjam
import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from chassis.kafka import clients as kafka
from chassis.kafka import decompression
from chassis.kafka.batches import FETCHES_MAX, KEPT_BYTES, RECORDS_MAX, UNREADABLE, Batches
from tests.support.batches import batch, record

PLACE = TopicPartition("order.events", 0)
BAD_NAME = ((b"\xff\xfe", b"1"),)
TWO = record(0, b"one") + record(1, b"two")
CODECS: Final[dict[int, Callable[[bytes], bytes]]] = {
    1: gzip.compress,
    2: lambda data: bytes(cramjam.snappy.compress_raw(data)),
    3: lambda data: bytes(cramjam.lz4.compress(data)),
    4: lambda data: bytes(cramjam.zstd.compress(data)),
}


def fetched(data: bytes, start: int = 0) -> tuple[list[Any], int]:
    """What aiokafka's own fetcher makes of the answer to a fetch, and where it goes on."""
    assert vars(kafka)["fetcher"].MemoryRecords is Batches
    how = {"check_crcs": True, "isolation_level": 0}
    read = {"key_deserializer": None, "value_deserializer": None}
    records = fetcher.PartitionRecords(PLACE, Batches(data), [], start, **read, **how)
    return list(records), records.next_fetch_offset


def reason(found: Any) -> str:
    result: bytes = dict(found.headers).get(UNREADABLE, b"")
    return result.decode()


@pytest.mark.parametrize("codec", CODECS)
def test_every_codec_is_read(codec: int) -> None:
    found, end = fetched(batch(CODECS[codec](TWO), 2, attributes=codec))
    assert [r.value for r in found] == [b"one", b"two"]
    assert end == 2


@pytest.mark.parametrize("codec", [0, *CODECS])
def test_a_header_name_that_is_no_text_keeps_its_record(codec: int) -> None:
    payload = record(0, b"one") + record(1, b"two", b"k", BAD_NAME) + record(2, b"three")
    packed = CODECS[codec](payload) if codec else payload
    found, end = fetched(batch(packed, 3, attributes=codec))
    assert [r.value for r in found] == [b"one", b"two", b"three"]
    assert found[1].key == b"k"
    assert found[1].headers == (("\\xff\\xfe", b"1"),)
    assert end == 3


def test_bytes_of_a_header_name_can_be_had_back() -> None:
    found, _ = fetched(batch(record(0, b"", None, ((b"\xff\\xfe", b""),)), 1))
    (name, _), *_ = found[0].headers
    assert name.encode().decode("unicode_escape").encode("latin-1") == b"\xff\\xfe"


def test_a_record_off_its_format_is_stepped_over_within_its_batch() -> None:
    bad = b"\x08\0\0\x02\x7f"  # its key is longer than it is
    found, end = fetched(batch(record(0, b"one") + bad + record(2, b"three"), 3))
    assert [r.offset for r in found] == [0, 1, 2]
    assert [bool(reason(r)) for r in found] == [False, True, False]
    assert found[1].value == bad
    assert "offset 1" in reason(found[1])
    assert end == 3


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (batch(TWO, 2, base_offset=5, attributes=7), "codec 7"),
        (batch(b"no gzip", 2, base_offset=5, attributes=1), "gzip"),
        (batch(b"", 2, base_offset=5), "length"),
        (batch(b"\xff" * 40, 2, base_offset=5), "range"),
    ],
)
def test_a_batch_that_cannot_be_read_is_one_record_at_its_end(data: bytes, why: str) -> None:
    """At its end, as a reader may begin in the middle of it."""
    after = batch(record(0, b"after"), 1, base_offset=7)
    for start in (5, 6):
        found, end = fetched(data + after, start)
        assert [r.offset for r in found] == [6, 7]
        assert why in reason(found[0])
        assert found[1].value == b"after"
        assert end == 8


def test_a_batch_of_a_format_to_come_is_stepped_over() -> None:
    later = batch(record(0, b"after"), 1, base_offset=6)
    found, _ = fetched(batch(record(0, b"new"), 1, base_offset=5, magic=3) + later, 5)
    assert "format 3" in reason(found[0])
    assert found[1].value == b"after"


def test_a_damaged_batch_is_fetched_again_before_it_is_stepped_over() -> None:
    """The answer ends before it, and the fetcher asks for it again: it may have broken on the way."""
    before, damaged = batch(record(0, b"one"), 1), batch(TWO, 2, base_offset=1, crc=1)
    for _ in range(FETCHES_MAX - 1):
        found, end = fetched(before + damaged)
        assert ([r.value for r in found], end) == ([b"one"], 1)
    found, end = fetched(damaged, 1)
    assert [r.offset for r in found] == [2]
    assert "checksum" in reason(found[0])
    assert end == 3


def test_a_damaged_batch_alone_is_no_end_of_the_fetch() -> None:
    """aiokafka takes bytes without a batch for a record that is larger than a fetch, and skips one."""
    damaged = batch(TWO, 2, base_offset=100, crc=2)
    again = Batches(damaged)
    assert not again.has_next()
    assert again.size_in_bytes() == 0


@pytest.mark.parametrize("codec", CODECS)
def test_what_a_batch_unpacks_to_is_bounded(codec: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chassis.kafka.batches.decompressed", _within_a_megabyte)
    packed = CODECS[codec](record(0, b" " * 2_000_000))
    found, end = fetched(batch(packed, 1, attributes=codec))
    assert "larger than" in reason(found[0])
    assert len(found[0].value) <= KEPT_BYTES
    assert end == 1


@pytest.mark.parametrize("codec", [0, *CODECS])
def test_how_many_records_a_batch_unpacks_to_is_bounded(codec: int) -> None:
    """Each is an object: those of one megabyte of records without content would fill the memory."""
    payload = record(0, None) * (RECORDS_MAX + 1)
    packed = CODECS[codec](payload) if codec else payload
    found, end = fetched(batch(packed, RECORDS_MAX + 1, attributes=codec))
    assert [r.offset for r in found] == [RECORDS_MAX]
    assert f"more than {RECORDS_MAX} records" in reason(found[0])
    assert end == RECORDS_MAX + 1


@pytest.mark.parametrize("magic", [0, 1])
def test_what_is_compressed_in_a_format_of_before_is_not_unpacked(magic: int) -> None:
    """Its reader has no bound; no producer has sent it since Kafka 0.11, and Kafka 4 takes none."""
    for codec in (0, 1):
        old: Any = LegacyRecordBatchBuilder(magic, codec, 2**24)
        old.append(0, 0, None, b" " * 2**20)
        (found,) = fetched(bytes(old.build()))[0]
        assert bool(reason(found)) is bool(codec)
        assert len(found.value) <= (KEPT_BYTES if codec else 2**20)


@pytest.mark.long(2)
@pytest.mark.timeout(120)
def test_a_gzip_stream_of_many_members_is_read_in_a_time_that_grows_with_its_length() -> None:
    """A megabyte has room for 50,000 that hold nothing: what is behind each must not be copied."""
    packed = gzip.compress(b"") * 200_000 + gzip.compress(TWO)
    found, _ = fetched(batch(packed, 2, attributes=1))
    assert [r.value for r in found] == [b"one", b"two"]


@pytest.mark.timeout(120)
def test_a_batch_is_read_by_hand_in_a_time_that_grows_with_its_length() -> None:
    """Its first header name sends it there: what is before a record must not be copied for it."""
    rest = (record(n, b" " * 2_000) for n in range(1, 20_000))
    payload = record(0, b"", None, BAD_NAME) + b"".join(rest)
    found, end = fetched(batch(CODECS[4](payload), 20_000, attributes=4))
    assert len(found) == end == 20_000


def _within_a_megabyte(codec: int, data: bytes) -> bytes:
    return decompression.decompressed(codec, data, 1024 * 1024)


@given(
    payload=st.binary(max_size=200) | st.just(TWO),
    count=st.integers(1, 4),
    attributes=st.integers(0, 7),
    flips=st.lists(st.tuples(st.integers(61, 260), st.integers(0, 255)), max_size=4),
    crc=st.none() | st.just(7),
)
def test_any_batch_is_read_to_its_end(
    payload: bytes, count: int, attributes: int, flips: list[tuple[int, int]], crc: int | None
) -> None:
    """Whatever is in it: no error, offsets that rise, and the batch behind it."""
    if attributes in CODECS:
        payload = CODECS[attributes](payload)
    changed = bytearray(payload)
    for at, to in flips:
        if at - 61 < len(changed):
            changed[at - 61] = to
    data = batch(bytes(changed), count, attributes=attributes, crc=crc)
    answer = data + batch(record(0, b"after"), 1, base_offset=count)
    for _ in range(FETCHES_MAX):
        found, end = fetched(answer)
    offsets = [r.offset for r in found]
    assert offsets == sorted(set(offsets))
    assert found[-1].value == b"after"
    assert end == count + 1
    assert [r for r in found[:-1] if r.offset < count]
