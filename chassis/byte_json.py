"""Bytes as JSON: Latin-1 text keeps each byte, and null stays null. Headers are [name, text] pairs."""

from collections.abc import Iterable

from pydantic_core import from_json, to_json


def text_of(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode("latin-1")


def raw_of(text: str | None) -> bytes | None:
    return None if text is None else text.encode("latin-1")


def packed(headers: Iterable[tuple[str, bytes | None]]) -> bytes:
    return to_json([(name, text_of(value)) for name, value in headers])


def unpacked(data: bytes) -> list[tuple[str, bytes | None]]:
    return [(name, raw_of(value)) for name, value in from_json(data)]
