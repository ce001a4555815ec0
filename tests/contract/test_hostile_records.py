"""A record that no owner of its topic could have written is refused, with a reason and without its data."""

from dataclasses import replace
from itertools import product
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json, to_json

from chassis.events import Entry, Envelope, MalformedError
from chassis.kafka.topics import PARTITIONS, partition_of
from chassis.message import Message, Parked, Record
from shared_events.catalog import CATALOG
from shared_events.codec import decode, decode_record, encode
from shared_events.values import COUNT_MAX, EXACT_MAX, QUANTITY_MAX
from tests.contract.golden import ORDER_ID, sample
from tests.support.records import message_of

each_entry = pytest.mark.parametrize("entry", CATALOG.entries, ids=lambda entry: entry.wire_type)
OTHER_ID: Final = "01948f2e-7a52-7d0f-9f0b-000000000000"
CANCELLED: Final = CATALOG.by_type["shipment.cancelled.v1"]
RESERVED: Final = CATALOG.by_type["stock.reserved.v1"]


def record_of(entry: Entry) -> Record:
    golden = sample(entry)
    key = golden.key.encode()
    partition = partition_of(key, tuple(range(PARTITIONS)))
    headers = tuple(golden.wire_headers)
    return Record(entry.topic, partition, 0, key, golden.value.encode(), headers)


def with_header(record: Record, name: str, data: bytes | None) -> Record:
    rest = tuple(pair for pair in record.headers if pair[0] != name)
    return replace(record, headers=rest if data is None else (*rest, (name, data)))


def with_fields(record: Record, **fields: Any) -> Record:
    """Fields of the value, also inside its order, replaced."""
    value = from_json(record.value or b"")
    for place in (value, value.get("order", {}), *value.get("order", value).get("lines", ())):
        place.update({name: new for name, new in fields.items() if name in place})
    return replace(record, value=to_json(value))


def reason_of(record: Record, partitions: int = PARTITIONS) -> str:
    outcome = message_of(record, partitions)
    return outcome.reason if isinstance(outcome, Parked) else ""


@each_entry
def test_a_correct_record_is_a_message(entry: Entry) -> None:
    assert isinstance(message_of(record_of(entry), PARTITIONS), Message)


# What is said of a record in several places


@each_entry
def test_a_record_in_a_topic_of_before_is_a_message_as_well(entry: Entry) -> None:
    outcomes = [message_of(replace(record_of(entry), topic=t), 12) for t in entry.topics]
    assert all(isinstance(outcome, Message) for outcome in outcomes)
    assert len(outcomes) == (1 if entry.topic in CATALOG.compacted else 2)


@each_entry
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"key": OTHER_ID.encode()}, "the key is not the subject"),
        ({"key": None}, "the key is not the subject"),
        ({"topic": "nobody.events"}, "does not belong on this topic"),
        ({"topic": "nobody.forward"}, "does not belong on this topic"),
    ],
)
def test_a_record_elsewhere_than_its_event_is_refused(
    entry: Entry, changes: dict[str, Any], why: str
) -> None:
    assert why in reason_of(replace(record_of(entry), **changes))


@each_entry
@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("ce_source", b"/somebody", "not the owner"),
        ("ce_source", b"order", "not the owner"),
        ("ce_sagaid", OTHER_ID.encode(), "ce_sagaid"),
    ],
)
def test_an_attribute_that_contradicts_the_rest_is_refused(
    entry: Entry, name: str, data: bytes, why: str
) -> None:
    assert why in reason_of(with_header(record_of(entry), name, data))


@each_entry
def test_key_and_subject_of_another_order_than_the_value_are_refused(entry: Entry) -> None:
    """It would change the order of the key, and publish for that of the value."""
    record = replace(record_of(entry), key=OTHER_ID.encode())
    for name in ("ce_subject", "ce_sagaid"):
        record = with_header(record, name, OTHER_ID.encode())
    assert "another subject" in reason_of(record)


def test_a_key_is_at_home_in_the_partition_of_its_hash() -> None:
    record = record_of(RESERVED)
    elsewhere = replace(record, partition=(record.partition + 1) % PARTITIONS)
    assert "another partition" in reason_of(elsewhere)
    assert reason_of(elsewhere, 0) == ""  # the number of partitions is not known


def test_records_of_before_a_topic_got_more_partitions_are_still_read() -> None:
    record = record_of(RESERVED)
    assert reason_of(record, 2 * PARTITIONS) == ""
    grown = replace(record, partition=partition_of(record.key or b"", tuple(range(2 * PARTITIONS))))
    assert reason_of(grown, 2 * PARTITIONS) == ""
    few = replace(record, partition=partition_of(record.key or b"", (0, 1, 2)))
    assert reason_of(few, 3) == ""


@pytest.mark.parametrize("hidden", ["order_id", "total_minor", "payment_token", "unknown"])
def test_unknown_fields_stand_for_no_known_one(hidden: str) -> None:
    """What is passed on untouched must not replace what was read."""
    record = record_of(RESERVED)
    value = from_json(record.value or b"")
    value["order"]["unknown"] = {hidden: OTHER_ID}
    envelope = decode(to_json(value), record.headers)
    written = from_json(encode(envelope)[0])["order"]
    assert written.pop("unknown") == {hidden: OTHER_ID}
    assert written == from_json(record.value or b"")["order"]


# Attributes


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("ce_time", b"0001-01-01T00:00:00+01:00"),
        ("ce_time", b"9999-12-31T23:59:59-01:00"),
        ("ce_time", b"1969-12-31T23:59:59Z"),
        ("ce_time", b"2026-01-02T03:04:05"),
        ("ce_time", b"2026-01-02"),
        ("ce_time", b"20260102T030405Z"),
        ("ce_time", b"2026-W01-1T00:00:00Z"),
        ("ce_time", b"2026-02-30T00:00:00Z"),
        ("ce_time", b"2026-01-02T03:04:05+25:00"),
        ("ce_time", "\uff12\uff10\uff12\uff16-01-02T03:04:05Z".encode()),
        ("ce_specversion", b"0.3"),
        ("ce_specversion", None),
        ("ce_sequence", b"-1"),
        ("ce_sequence", b"+1"),
        ("ce_sequence", b"1_0"),
        ("ce_sequence", "\uff13".encode()),
        ("ce_sequence", b"9" * 5000),
        ("ce_id", b"{42304394"),
        ("ce_subject", b""),
        ("content-type", b"application/avro"),
    ],
)
def test_an_attribute_off_its_form_is_refused_by_its_name(name: str, data: bytes | None) -> None:
    reason = reason_of(with_header(record_of(RESERVED), name, data))
    assert name in reason
    assert len(reason) < 200


@pytest.mark.parametrize(
    "data",
    [b"2026-01-02T03:04:05Z", b"2026-01-02t03:04:05.123456789z", b"2026-01-02T03:04:05+05:30"],
)
def test_times_of_rfc_3339_are_read(data: bytes) -> None:
    assert reason_of(with_header(record_of(RESERVED), "ce_time", data)) == ""


@pytest.mark.parametrize("name", ["ce_type", "ce_id", "ce_subject", "ce_sequence", "content-type"])
def test_an_attribute_that_is_there_twice_is_refused(name: str) -> None:
    """One reader would take the first and another the last."""
    record = record_of(RESERVED)
    twice = (*record.headers, (name, dict(record.headers)[name]))
    assert "twice" in reason_of(replace(record, headers=twice))


@pytest.mark.parametrize("data", [b"\xff", b"00-0-0-0", b"", b"00-" + b"0" * 9999])
def test_a_trace_context_that_is_none_is_dropped_and_the_event_read(data: bytes) -> None:
    message = message_of(with_header(record_of(RESERVED), "traceparent", data))
    assert isinstance(message, Message)
    assert message.traceparent == ""


def test_a_sequence_sorts_as_the_text_that_it_is() -> None:
    event = decode(record_of(RESERVED).value, record_of(RESERVED).headers)
    written = [dict(encode(numbered(event, n))[1])["ce_sequence"] for n in (2, 10, 9, COUNT_MAX)]
    assert sorted(written) == [written[0], written[2], written[1], written[3]]
    assert [int(text) for text in written] == [2, 10, 9, COUNT_MAX]


def numbered(envelope: Envelope, sequence: int) -> Envelope:
    return replace(envelope, sequence=sequence)


@pytest.mark.parametrize("text", ['"\\u0000"', '"a\\\\\\u0000"'])
def test_a_nul_is_refused_wherever_it_stands(text: str) -> None:
    record = record_of(RESERVED)
    value = (record.value or b"").replace(b'"DE"', text.encode())
    assert "NUL" in reason_of(replace(record, value=value))
    unknown = (record.value or b"").replace(
        b'{"order_id"', b'{"new":' + text.encode() + b',"order_id"'
    )
    assert "NUL" in reason_of(replace(record, value=unknown))


def test_a_backslash_before_zeros_is_no_nul() -> None:
    record = record_of(RESERVED)
    value = (record.value or b"").replace(b'"DE"', rb'"\\u0000"')
    assert reason_of(replace(record, value=value)) == ""


# Numbers

BOUNDS: Final = {
    "total_minor": (0, EXACT_MAX),
    "unit_price_minor": (0, EXACT_MAX),
    "quantity": (1, QUANTITY_MAX),
    "captured_minor": (0, EXACT_MAX),
    "refund_minor": (0, EXACT_MAX),
    "refunded_minor": (0, EXACT_MAX),
    "fee_minor": (0, EXACT_MAX),
    "restocking_fee_minor": (0, EXACT_MAX),
    "provider_fee_minor": (0, EXACT_MAX),
    "price_minor": (0, EXACT_MAX),
    "points": (0, EXACT_MAX),
    "attempt": (1, COUNT_MAX),
}
MOVED: Final = frozenset({"stock.written_off", "stock.returned"})
"""Of these a quantity is that of many orders, or of a shelf."""
NUMBERS: Final = [
    (entry, name)
    for entry, name in product(CATALOG.entries, BOUNDS)
    if f'"{name}":' in sample(entry).value and (entry.name, name) != ("stock.received", "quantity")
]


@pytest.mark.parametrize(("entry", "name"), NUMBERS, ids=lambda part: getattr(part, "name", part))
def test_a_number_outside_of_its_limits_is_refused(entry: Entry, name: str) -> None:
    least, most = BOUNDS[name]
    most = EXACT_MAX if name == "quantity" and entry.name in MOVED else most
    for wrong in (least - 1, most + 1, 10**30, 1.5, True, "7", None):
        assert name in reason_of(with_fields(record_of(entry), **{name: wrong})), wrong


def test_every_number_of_every_event_has_limits() -> None:
    """One that is added without is found here."""

    def free(schema: Any, path: str) -> list[str]:
        if isinstance(schema, list):
            return [found for part in schema for found in free(part, path)]
        if not isinstance(schema, dict):
            return []
        bare = schema.get("type") in {"integer", "number"} and not {"minimum", "maximum"} <= set(
            schema
        )
        inner = [found for name, part in schema.items() for found in free(part, f"{path}.{name}")]
        return [path, *inner] if bare else inner

    assert [
        found for e in CATALOG.entries for found in free(e.adapter.json_schema(), e.wire_type)
    ] == []


def test_pieces_that_went_out_are_negative_and_limited_as_well() -> None:
    record = record_of(CATALOG.by_type["stock.received.v1"])
    assert reason_of(with_fields(record, quantity=-EXACT_MAX)) == ""
    assert "quantity" in reason_of(with_fields(record, quantity=-EXACT_MAX - 1))


@pytest.mark.parametrize(
    ("wire_type", "fields", "why"),
    [
        ("payment.captured.v1", {"captured_minor": 11_486}, "more than the order's total"),
        ("payment.refunded.v1", {"refunded_minor": 11_001}, "captured_minor is not"),
        ("payment.refunded.v1", {"fee_minor": 0, "refunded_minor": 11_485}, "fee_minor is less"),
        ("payment.refund_requested.v1", {"restocking_fee_minor": 486}, "fee_minor is less"),
    ],
)
def test_amounts_that_do_not_add_up_are_refused(
    wire_type: str, fields: dict[str, int], why: str
) -> None:
    assert why in reason_of(with_fields(record_of(CATALOG.by_type[wire_type]), **fields))


@pytest.mark.parametrize(
    "time",
    [
        "2026-01-02T03:04:05",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-23:59",
        "1960-01-01T00:00:00Z",
    ],
)
@pytest.mark.parametrize("name", ["placed_at", "deadline"])
def test_a_time_in_a_value_names_its_offset_and_can_be_reckoned_with(name: str, time: str) -> None:
    assert name in reason_of(with_fields(record_of(RESERVED), **{name: time}))


# Anything at all

HEADERS: Final = st.lists(
    st.tuples(
        st.sampled_from([name for name, _ in record_of(RESERVED).headers]) | st.text(max_size=8),
        st.none()
        | st.binary(max_size=40)
        | st.sampled_from([v for _, v in record_of(RESERVED).headers]),
    ),
    max_size=14,
)
VALUES: Final = (
    st.none()
    | st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner),
        max_leaves=12,
    ).map(lambda value: to_json(value, inf_nan_mode="constants"))
)


@given(headers=HEADERS, value=VALUES, key=st.none() | st.binary(max_size=50))
def test_reading_anything_ends_in_an_event_or_a_reason(
    headers: list[tuple[str, bytes | None]], value: bytes | None, key: bytes | None
) -> None:
    outcome = message_of(Record("inventory.events", 0, 0, key, value, tuple(headers)), 12)
    assert isinstance(outcome, Parked)


@given(
    entry=st.sampled_from(CATALOG.entries),
    name=st.sampled_from([name for name, _ in record_of(RESERVED).headers]),
    data=st.binary(max_size=60) | st.text(max_size=60).map(str.encode),
)
def test_any_attribute_in_place_of_a_right_one_ends_in_an_event_or_a_reason(
    entry: Entry, name: str, data: bytes
) -> None:
    record = with_header(record_of(entry), name, data)
    try:
        envelope = decode_record(record)
    except MalformedError as error:
        assert len(str(error)) <= 500  # noqa: PT017 - it is one of two ways to end
    else:
        assert envelope.subject == (record.key or b"").decode()
        assert envelope.subject in {ORDER_ID, sample(entry).key}


@given(
    entry=st.sampled_from(CATALOG.entries),
    at=st.integers(0, 400),
    data=st.binary(min_size=1, max_size=4),
)
def test_any_bytes_in_a_value_end_in_an_event_or_a_reason(
    entry: Entry, at: int, data: bytes
) -> None:
    record = record_of(entry)
    value = record.value or b""
    broken = replace(record, value=value[:at] + data + value[at + len(data) :])
    assert isinstance(message_of(broken, 12), Message | Parked)
