"""What was ever published can still be read, and is written as it was."""

from typing import Any

import pytest
from pydantic_core import from_json, to_json

from chassis.events import MalformedError
from shared_events.catalog import CATALOG
from shared_events.codec import decode, encode
from tests.contract.golden import FOLDER, Golden, path_of, read

GOLDENS = [read(path) for path in sorted(FOLDER.glob("*.json"))]
NEWEST = [golden for golden in GOLDENS if CATALOG.by_type[golden.type].wire_type == golden.type]
RESERVED = read(path_of("stock.reserved.v1"))
REQUIRED = ("ce_type", "ce_id", "ce_source", "ce_subject", "ce_time")
each_golden = pytest.mark.parametrize("golden", GOLDENS, ids=lambda golden: golden.type)
each_newest = pytest.mark.parametrize("golden", NEWEST, ids=lambda golden: golden.type)


def without_additions(new: Any, old: Any) -> Any:
    """The newly written value without fields that were added since the sample was taken."""
    if isinstance(new, dict) and isinstance(old, dict):
        return {name: without_additions(new[name], old[name]) for name in new if name in old}
    if isinstance(new, list) and isinstance(old, list):
        return [without_additions(*pair) for pair in zip(new, old, strict=True)]
    return new


def changed(golden: Golden, *path: str, **fields: Any) -> bytes:
    """The sample's value with fields set in the object at a path."""
    value = from_json(golden.value)
    place = value
    for name in path:
        place = place[name]
    place.update(fields)
    return to_json(value)


@each_newest
def test_a_sample_is_written_again_as_it_was(golden: Golden) -> None:
    value, headers = encode(decode(golden.value.encode(), golden.wire_headers))
    kept = without_additions(from_json(value), from_json(golden.value))
    assert to_json(kept).decode() == golden.value
    assert [name for name, _ in headers] == [name for name, _ in golden.wire_headers]
    written, was = dict(headers), dict(golden.wire_headers)
    assert int(written.pop("ce_sequence")) == int(was.pop("ce_sequence"))  # was not padded at first
    assert written == was


@each_golden
def test_the_key_is_the_subject(golden: Golden) -> None:
    envelope = decode(golden.value.encode(), golden.wire_headers)
    assert golden.key == envelope.subject == CATALOG.by_type[golden.type].subject_of(envelope.event)
    assert golden.type == envelope.type == golden.headers["ce_type"]


@each_newest
def test_an_unknown_field_is_dropped(golden: Golden) -> None:
    value = changed(golden, a_newer_field={"deep": [1]})
    envelope = decode(value, golden.wire_headers)
    assert envelope.event == decode(golden.value.encode(), golden.wire_headers).event
    assert b"a_newer_field" not in encode(envelope)[0]


@pytest.mark.parametrize("wire_type", CATALOG.by_type)
def test_every_version_has_a_sample(wire_type: str) -> None:
    """One of an older version is the only witness of its schema: it is kept for ever."""
    assert path_of(wire_type).exists(), "run python -m tests.contract.golden"


@pytest.mark.parametrize(
    "golden",
    [g for g in NEWEST if CATALOG.by_type[g.type].subject == "order.order_id"],
    ids=lambda g: g.type,
)
def test_unknown_fields_of_the_order_are_passed_on(golden: Golden) -> None:
    newer = {"gift_note": "für Ada", "campaign": {"id": 7, "tags": ["a", None]}}
    value = changed(golden, "order", **newer)
    written, _ = encode(decode(value, golden.wire_headers))
    assert from_json(written)["order"] == from_json(value)["order"]


def test_a_header_that_nobody_knows_is_no_error() -> None:
    headers = [*RESERVED.wire_headers, ("x-proxy", b"1")]
    assert decode(RESERVED.value.encode(), headers).type == RESERVED.type


@pytest.mark.parametrize("value", [b"\xff\xfe", b"", None])
def test_a_header_of_somebody_else_may_hold_any_bytes_or_none(value: bytes | None) -> None:
    headers = [*RESERVED.wire_headers, ("x-proxy", value), ("ce_newer", None)]
    assert decode(RESERVED.value.encode(), headers).type == RESERVED.type


def test_an_attribute_that_is_null_is_missing() -> None:
    headers = [(n, None if n == "ce_id" else v) for n, v in RESERVED.wire_headers]
    with pytest.raises(MalformedError, match="ce_id"):
        decode(RESERVED.value.encode(), headers)


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_attribute_is_malformed(name: str) -> None:
    headers = [pair for pair in RESERVED.wire_headers if pair[0] != name]
    with pytest.raises(MalformedError, match=name):
        decode(RESERVED.value.encode(), headers)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("ce_type", b"stock.reserved.v99"),
        ("ce_type", b"\xff"),
        ("ce_id", b"no uuid"),
        ("ce_time", b"yesterday"),
        ("ce_sequence", b"three"),
    ],
)
def test_a_wrong_attribute_is_malformed(name: str, data: bytes) -> None:
    headers = [(n, data if n == name else value) for n, value in RESERVED.wire_headers]
    with pytest.raises(MalformedError):
        decode(RESERVED.value.encode(), headers)


@pytest.mark.parametrize(
    "value",
    [None, b"", b"{", b"null", b"[]", b"{}", b"\xff", changed(RESERVED, order=None)],
    ids=["null", "empty", "broken", "json-null", "list", "no-fields", "no-text", "no-order"],
)
def test_a_wrong_value_is_malformed(value: bytes | None) -> None:
    with pytest.raises(MalformedError):
        decode(value, RESERVED.wire_headers)


def test_the_error_does_not_repeat_the_data() -> None:
    value = changed(RESERVED, "order", total_minor="4111 1111 1111 1111")
    with pytest.raises(MalformedError) as caught:
        decode(value, RESERVED.wire_headers)
    assert "4111" not in str(caught.value)
