"""Headers as bytes for a table: JSON of [name, Latin-1 text] pairs, so that any byte survives."""

from collections.abc import Iterable

from pydantic_core import from_json, to_json


def packed(headers: Iterable[tuple[str, bytes]]) -> bytes:
    return to_json([(name, value.decode("latin-1")) for name, value in headers])


def unpacked(data: bytes) -> list[tuple[str, bytes]]:
    return [(name, value.encode("latin-1")) for name, value in from_json(data)]
