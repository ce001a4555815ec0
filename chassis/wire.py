"""Headers as bytes for a table: JSON of [name, Latin-1 text or null], so that any byte survives."""

from collections.abc import Iterable

from pydantic_core import from_json, to_json


def packed(headers: Iterable[tuple[str, bytes | None]]) -> bytes:
    return to_json([(name, None if v is None else v.decode("latin-1")) for name, v in headers])


def unpacked(data: bytes) -> list[tuple[str, bytes | None]]:
    return [(name, None if v is None else v.encode("latin-1")) for name, v in from_json(data)]
