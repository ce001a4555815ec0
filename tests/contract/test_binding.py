"""CloudEvents 1.0.2 and its Kafka protocol binding: what is on the wire, and what never leaves."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from chassis.decide import Snapshot, decide_batch
from chassis.events import Entry, Envelope, IncompleteError, MalformedError, dead_letters_of
from chassis.message import Message, Parked
from shared_events.catalog import CATALOG
from shared_events.codec import decode, encode
from shipping_svc.service import SERVICE
from tests.contract.golden import sample
from tests.support.records import a_message, an_order, captured

each_entry = pytest.mark.parametrize("entry", CATALOG.entries, ids=lambda entry: entry.wire_type)
NAME = re.compile(r"ce_[a-z0-9]{1,20}")  # CloudEvents 3.1: lower-case letters and digits
EXTENSIONS = {"ce_sagaid", "ce_causationid", "ce_sequence"}


def envelope_of(entry: Entry) -> Envelope:
    golden = sample(entry)
    return decode(golden.value.encode(), golden.wire_headers)


@each_entry
def test_attributes_are_headers_with_lower_case_names(entry: Entry) -> None:
    names = [name for name, _ in encode(envelope_of(entry))[1]]
    attributes = [name for name in names if name not in {"content-type", "traceparent"}]
    assert all(NAME.fullmatch(name) for name in attributes), attributes
    assert set(attributes) >= {"ce_specversion", "ce_id", "ce_type", "ce_source"} | EXTENSIONS
    assert len(names) == len(set(names))


@each_entry
def test_the_datas_content_type_is_the_content_type_header(entry: Entry) -> None:
    headers = dict(encode(envelope_of(entry))[1])
    assert headers["content-type"] == b"application/json"
    assert headers["ce_specversion"] == b"1.0"
    assert "ce_datacontenttype" not in headers


@pytest.mark.parametrize("name", ["saga_id", "causation_id", "source", "subject", "type"])
def test_an_event_without_one_of_its_attributes_is_not_written(name: str) -> None:
    changes: dict[str, Any] = {name: ""}
    with pytest.raises(IncompleteError, match=f"ce_{name.replace('_', '')}"):
        encode(replace(envelope_of(CATALOG.entries[0]), **changes))


def test_an_event_of_nobody_is_parked_and_publishes_nothing() -> None:
    """A message without a key has no saga: what it would lead to can't leave."""
    message = a_message(captured())
    nobody = replace(message.body, order=replace(message.body.order, order_id=""))
    result = decide_batch(SERVICE, Snapshot(), [replace(message, key="", body=nobody)])
    (outcome,) = result.outcomes
    assert isinstance(outcome, Parked)
    assert "IncompleteError" in outcome.reason
    assert [row.topic for row in result.outbox] == [dead_letters_of(SERVICE.name)]
    assert result.effects == []


def test_the_chassis_sets_saga_and_cause_and_no_rule_can_forget_them() -> None:
    order = an_order()
    message: Message = a_message(captured(order))
    result = decide_batch(SERVICE, Snapshot(), [message])
    envelopes = [decode(row.value, row.headers) for row in result.outbox]
    assert [(e.saga_id, e.causation_id) for e in envelopes] == [(order.order_id, str(message.id))]
    assert [e.sequence for e in envelopes] == [1]


def test_source_and_id_are_the_identity_of_a_decision() -> None:
    """Decided again, at another time by another process, it is the same event."""
    order = an_order()
    message = a_message(captured(order))
    again = replace(message, at=datetime(2030, 1, 1, tzinfo=UTC), traceparent="")
    late = replace(order, deadline=datetime(2031, 1, 1, tzinfo=UTC))
    bodies = [replace(m, body=replace(m.body, order=late)) for m in (message, again)]
    rows = [decide_batch(SERVICE, Snapshot(), [m]).outbox[0] for m in bodies]
    first, second = (decode(row.value, row.headers) for row in rows)
    assert (first.source, first.id) == (second.source, second.id)
    assert first.time != second.time


@each_entry
def test_a_null_value_is_a_tombstone_and_no_event(entry: Entry) -> None:
    golden = sample(entry)
    with pytest.raises(MalformedError, match="null"):
        decode(None, golden.wire_headers)
