"""The codecs of Kafka's record batches, with a bound: a megabyte may hold gigabytes of one letter."""

import gzip
import io
from collections.abc import Callable, Mapping
from typing import Any, Final

import cramjam
from aiokafka.codec import snappy_decode

BYTES_MAX: Final = 64 * 1024 * 1024
"""What one batch may be when it is unpacked."""


class TooLargeError(ValueError):
    """The data are larger than `BYTES_MAX` when they are unpacked."""


def decompressed(codec: int, data: bytes, limit: int = BYTES_MAX) -> bytes:
    """The records of a batch. `codec` is the lowest three bits of its attributes.

    Raises TooLargeError, ValueError for an unknown codec, and what a codec raises for broken data.
    """
    if codec == 0:
        return data
    if codec not in CODECS:
        raise ValueError(f"its codec {codec} is unknown")
    return CODECS[codec](data, limit)


def _gzip(data: bytes, limit: int) -> bytes:
    """A stream may have many members; its reader copies none of what is behind one."""
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        unpacked = file.read(limit + 1)
    _within(len(unpacked), limit)
    return unpacked


def _snappy(data: bytes, limit: int) -> bytes:
    """Raw, or framed as by Xerial's library: each block is told by its length before."""
    if not data.startswith(b"\x82SNAPPY\x00"):
        _within(cramjam.snappy.decompress_raw_len(data), limit)
        return bytes(snappy_decode(data))
    at, total = 16, 0
    while at + 4 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big", signed=True)
        if length < 0 or at + 4 + length > len(data):
            raise ValueError("a block of its snappy stream is cut off")
        total += cramjam.snappy.decompress_raw_len(data[at + 4 : at + 4 + length])
        _within(total, limit)
        at += 4 + length
    return bytes(snappy_decode(data))


def _into(codec: Any) -> Callable[[bytes, int], bytes]:
    """Unpacked into a buffer that grows as long as it is too small, up to the bound."""

    def unpacked(data: bytes, limit: int) -> bytes:
        size = min(limit, max(64 * 1024, 8 * len(data)))
        while True:
            buffer = bytearray(size + 1)
            try:
                length: int = codec.decompress_into(data, buffer)
            except cramjam.DecompressionError as error:
                if "whole buffer" not in str(error):
                    raise
                if size >= limit:
                    raise TooLargeError(_too_large(limit)) from None
                size = min(limit, 4 * size)
                continue
            _within(length, limit)
            return bytes(memoryview(buffer)[:length])

    return unpacked


def _within(length: int, limit: int) -> None:
    if length > limit:
        raise TooLargeError(_too_large(limit))


def _too_large(limit: int) -> str:
    return f"it is larger than {limit} bytes when it is unpacked"


CODECS: Final[Mapping[int, Callable[[bytes, int], bytes]]] = {
    1: _gzip,
    2: _snappy,
    3: _into(cramjam.lz4),
    4: _into(cramjam.zstd),
}
