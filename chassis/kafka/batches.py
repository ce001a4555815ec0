"""Kafka's record batches, read leniently: what a batch holds is handed out, whatever its producer wrote.

aiokafka's own reader raises for a header name that is not UTF-8, an unknown codec or a record off its
format, and hands out nothing of the partition from there on. Here such a batch is read by hand:
its good records come as they are, the others as records that say why they can't be read. They have
the place, the bytes (up to `KEPT_BYTES`), no key, and the one header `UNREADABLE`. Compressed messages
of the formats before Kafka 0.11, which its reader unpacks without a bound, are such a record as well.
"""

import struct
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

from aiokafka.errors import UnsupportedCodecError
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import decode_varint

from chassis.kafka.decompression import decompressed

UNREADABLE: Final = "saga_unreadable"
"""The header of a record that stands for bytes which can't be read; its value is the reason."""
KEPT_BYTES: Final = 64 * 1024
FETCHES_MAX: Final = 3
"""A batch whose checksum is wrong is asked for so often: what broke on the way comes whole again."""
SUSPECTED_MAX: Final = 256
RECORDS_MAX: Final = 100_000
"""Of one batch: a megabyte may unpack to millions without content, each an object of its own."""
MAGIC: Final = 2
LENGTHS: Final = struct.Struct(">qi")
HEADER: Final = struct.Struct(">qiibIhiqqqhii")
MAGIC_AT: Final = 16
CODEC_BITS: Final = 0x07
TIMESTAMP_TYPE: Final = 0x08
suspected: OrderedDict[bytes, int] = OrderedDict()


@dataclass(slots=True)
class BatchEntry:
    """A record as aiokafka's fetcher takes it."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    checksum: None = None


class Header(NamedTuple):
    """The first 61 bytes of a batch in format 2 (Kafka protocol, "Record Batch")."""

    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    first_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    records: int

    @property
    def last_offset(self) -> int:
        return self.base_offset + max(self.last_offset_delta, 0)


class Batch:
    """One batch, in the shape that aiokafka's fetcher asks for. Iterating it never raises."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.why = ""
        self.is_damaged = False
        self.read: Any = None
        self._entries: Iterator[Any] | None = None
        try:
            if raw[MAGIC_AT] > MAGIC:
                raise ValueError(f"its format {raw[MAGIC_AT]} is unknown")  # noqa: TRY301 - as all else
            if raw[MAGIC_AT] < MAGIC and raw[MAGIC_AT + 1] & CODEC_BITS:  # it would have no bound
                raise ValueError(f"its format {raw[MAGIC_AT]} is compressed")  # noqa: TRY301 - as all else
            self.read = MemoryRecords(raw).next_batch()
            self.is_damaged = not self.read.validate_crc()
            if self.is_damaged:
                self.why = "its checksum is wrong"
            elif raw[MAGIC_AT] == MAGIC and _header(raw).records > RECORDS_MAX:
                self.why = f"it holds more than {RECORDS_MAX} records"
        except Exception as error:  # noqa: BLE001 - whatever it is, the batch says so
            self.why = _reason_of(error)

    @property
    def producer_id(self) -> int | None:
        return None if self.read is None else self.read.producer_id

    @property
    def base_offset(self) -> int:
        return int(LENGTHS.unpack_from(self.raw)[0])

    @property
    def is_control_batch(self) -> bool:
        return not self.why and bool(self.read.is_control_batch)

    @property
    def is_transactional(self) -> bool:
        return not self.why and bool(self.read.is_transactional)

    @property
    def last_offset(self) -> int:
        if len(self.raw) >= HEADER.size and self.raw[MAGIC_AT] == MAGIC:
            return _header(self.raw).last_offset
        return self.base_offset if self.read is None else int(self.read.next_offset) - 1

    @property
    def next_offset(self) -> int:
        return self.last_offset + 1

    def validate_crc(self) -> bool:
        """Looked at before: a batch that fails it is handed out as unreadable."""
        return True

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if self._entries is None:
            self._entries = iter(self._opened())
        return next(self._entries)

    def _opened(self) -> list[Any]:
        if not self.why:
            try:
                return list(self._of_aiokafka())
            except Exception as error:  # noqa: BLE001 - it is read by hand then
                self.why = _reason_of(error)
            if self.raw[MAGIC_AT] == MAGIC:
                return _by_hand(self.raw, self.why)
        return [_of_batch(self.raw, self.base_offset, self.last_offset, self.why)]

    def _of_aiokafka(self) -> Any:
        """Its own reader; what is compressed is unpacked before, so that a bound holds for it."""
        if self.raw[MAGIC_AT] != MAGIC or not self.read.compression_type:
            return self.read
        header = _header(self.raw)
        payload = decompressed(self.read.compression_type, self.raw[HEADER.size :])
        plain = header._replace(
            length=HEADER.size - LENGTHS.size + len(payload),
            attributes=header.attributes & ~CODEC_BITS,
        )
        return MemoryRecords(HEADER.pack(*plain) + payload).next_batch()


class Batches:
    """In place of aiokafka's MemoryRecords: the batches of one fetch of one partition."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._awaited = False
        self._next = self._following()

    def size_in_bytes(self) -> int:
        """0 as well where a batch is to be fetched again: the fetcher must not step over it."""
        return 0 if self._awaited else len(self._data)

    def has_next(self) -> bool:
        return self._next is not None

    def next_batch(self) -> Batch | None:
        found, self._next = self._next, None
        if found is not None:
            self._next = self._following()
        return found

    def _following(self) -> Batch | None:
        """The next batch that is there whole; a broker cuts the last one of a fetch."""
        if len(self._data) - self._at < LENGTHS.size:
            return None
        length = LENGTHS.unpack_from(self._data, self._at)[1]
        end = self._at + LENGTHS.size + length
        if length < 0 or end > len(self._data):
            return None
        batch = Batch(bytes(self._data[self._at : end]))
        if batch.is_damaged and _to_fetch_again(batch.raw):
            self._awaited = True
            return None
        self._at = end
        return batch


def _to_fetch_again(raw: bytes) -> bool:
    """Count the fetches of a damaged batch; it is known by its header."""
    known = raw[: HEADER.size]
    fetches = suspected.pop(known, 0) + 1
    if fetches >= FETCHES_MAX:
        return False
    suspected[known] = fetches
    if len(suspected) > SUSPECTED_MAX:
        suspected.popitem(last=False)
    return True


def _header(raw: bytes) -> Header:
    return Header(*HEADER.unpack_from(raw))


def _by_hand(raw: bytes, why: str) -> list[BatchEntry]:
    """The records of a batch whose checksum is right. Offsets rise, from the first to the last."""
    header = _header(raw)
    try:
        payload = decompressed(header.attributes & CODEC_BITS, raw[HEADER.size :])
    except Exception as error:  # noqa: BLE001 - whatever a codec raises for what is no data of its
        return [_of_batch(raw, header.base_offset, header.last_offset, _reason_of(error))]
    found: list[BatchEntry] = []
    at, offset = 0, header.base_offset
    for _ in range(header.records):
        try:
            length, start = decode_varint(payload, at)
            end = start + length
            if length < 0 or end > len(payload):
                raise ValueError("its length is wrong")  # noqa: TRY301 - as all else
        except Exception as error:  # noqa: BLE001 - there is no next record without it
            found.append(_unreadable(header, header.last_offset, payload[at:], _reason_of(error)))
            break
        try:
            entry = _record(payload[start:end], header)
            if not offset <= entry.offset <= header.last_offset:
                raise ValueError("its offset is wrong")  # noqa: TRY301 - as all else
        except Exception as error:  # noqa: BLE001 - the others of its batch are read all the same
            entry = _unreadable(header, offset, payload[at:end], _reason_of(error))
        found.append(entry)
        at, offset = end, entry.offset + 1
    return found or [_of_batch(raw, header.base_offset, header.last_offset, why)]


def _record(payload: bytes, header: Header) -> BatchEntry:
    """One record without its length. Raises ValueError or IndexError."""
    timestamp_delta, at = decode_varint(payload, 1)  # behind the attributes, a byte without use
    offset_delta, at = decode_varint(payload, at)
    key, at = _bytes(payload, at)
    value, at = _bytes(payload, at)
    count, at = decode_varint(payload, at)
    headers: list[tuple[str, bytes | None]] = []
    for _ in range(count):
        name, at = _bytes(payload, at)
        if name is None:
            raise ValueError("a header has no name")
        raw, at = _bytes(payload, at)
        headers.append((_name(name), raw))
    if at != len(payload) or count < 0:
        raise ValueError("its size is wrong")
    log_append = bool(header.attributes & TIMESTAMP_TYPE)
    timestamp = header.max_timestamp if log_append else header.first_timestamp + timestamp_delta
    offset = header.base_offset + offset_delta
    return BatchEntry(offset, timestamp, int(log_append), key, value, headers)


def _bytes(payload: bytes, at: int) -> tuple[bytes | None, int]:
    length, at = decode_varint(payload, at)
    if length < 0:
        return None, at
    if at + length > len(payload):
        raise ValueError("a length is wrong")
    return payload[at : at + length], at + length


def _name(raw: bytes) -> str:
    r"""A header's name; one that is not UTF-8 is escaped, `\\` too, so that its bytes can be had back."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def _of_batch(raw: bytes, first: int, last: int, why: str) -> BatchEntry:
    """A whole batch as one record, at its last offset: no reader that begins within it misses it."""
    timestamp = _header(raw).max_timestamp if len(raw) >= HEADER.size else -1
    reason = f"the batch of offsets {first} to {last} can't be read: {why}"
    return BatchEntry(last, timestamp, 0, None, raw[:KEPT_BYTES], [(UNREADABLE, reason.encode())])


def _unreadable(header: Header, offset: int, raw: bytes, why: str) -> BatchEntry:
    reason = f"the record at offset {offset} can't be read: {why}"
    headers: list[tuple[str, bytes | None]] = [(UNREADABLE, reason.encode())]
    return BatchEntry(offset, header.max_timestamp, 0, None, raw[:KEPT_BYTES], headers)


def _reason_of(error: Exception) -> str:
    """What went wrong, as text without surrogates and of bounded length."""
    name = "" if isinstance(error, ValueError | UnsupportedCodecError) else type(error).__name__
    reason = f"{name}: {error}" if name else str(error)
    return reason[:500].encode("utf-8", "backslashreplace").decode()
