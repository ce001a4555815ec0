"""Who may have written a record, by where it stands and what it says of itself, for each who reads it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

import pytest

from chassis.events import Entry, Envelope, MalformedError
from chassis.kafka import own_events
from chassis.kafka.records import sort
from chassis.kafka.topics import PARTITIONS, hash_of
from chassis.message import Message, Record, Unreadable
from chassis.service import Service
from chassis.topic_layout import TopicLayout
from guarantees.declared import configured
from guarantees.services import BY_NAME
from shared_events.catalog import CATALOG, DELIVERY_DETAILS
from tests.contract.test_hostile_records import OTHER_ID, record_of, with_header

NEW_ID: Final = str(UUID(int=7, version=4)).encode()
OWN: Final = [e for e in CATALOG.entries if e.topic not in CATALOG.compacted]
each_own = pytest.mark.parametrize("entry", OWN, ids=lambda entry: entry.wire_type)
each_service = pytest.mark.parametrize("name", BY_NAME)


def read(service: Service, record: Record) -> list[Message]:
    return sort(service, [record], lambda _: PARTITIONS, frozenset()).messages


def why(service: Service, record: Record) -> str:
    """For what reason the service parks a record; "" if it does not."""
    found = read(service, record)
    return "".join(m.body.reason for m in found if isinstance(m.body, Unreadable))


def unread(service: Service) -> Iterator[Record]:
    """Events of which the service reads the topic for others."""
    for entry in (entry for entry in OWN if entry.event not in service.consumes):
        for topic in set(service.topics).intersection(entry.topics):
            yield replace(record_of(entry), topic=topic)


# Events that a reader of the topic does not act on


@each_service
def test_an_event_of_another_topic_is_parked_by_each_who_reads_the_one_it_is_in(name: str) -> None:
    service = configured(name)
    for entry in OWN:
        for topic in set(service.topics) - set(entry.topics) - set(service.projections):
            reason = why(service, replace(record_of(entry), topic=topic))
            assert reason == f"malformed: {entry.wire_type} does not belong on this topic"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"source": b"/nobody"}, "ce_source is not the owner of its type"),
        ({"source": b"\xff"}, "ce_source is not the owner of its type"),
        ({"source": None}, "ce_source is not the owner of its type"),
        ({"key": OTHER_ID.encode()}, "the key is not the subject"),
        ({"key": None}, "the key is not the subject"),
        ({"partition": PARTITIONS}, "its key belongs in another partition"),
        ({}, ""),
    ],
    ids=str,
)
def test_an_event_that_nobody_here_acts_on_is_held_against_its_origin_too(
    changes: dict[str, Any], reason: str
) -> None:
    """In a topic of before the lanes are events for all."""
    services = [replace(configured(name), layout=TopicLayout.MOVING) for name in BY_NAME]
    found = [(service, record) for service in services for record in unread(service)]
    assert len(found) > 50
    for service, known in found:
        record = known
        if "source" in changes:
            record = with_header(record, "ce_source", changes["source"])
        record = replace(record, **{n: to for n, to in changes.items() if n != "source"})
        assert why(service, record) == (reason and f"malformed: {reason}")
        assert reason or read(service, record) == []


def test_delivery_details_in_another_partition_are_parked_without_their_bytes() -> None:
    """Two partitions would each keep their own newest record of the key."""
    (entry,) = (e for e in CATALOG.entries if e.topic == DELIVERY_DETAILS)
    record, shipping = record_of(entry), configured("shipping")
    assert read(shipping, record) == []
    (parked,) = read(shipping, replace(record, partition=(record.partition + 1) % PARTITIONS))
    assert parked.body == Unreadable("not projected: its key belongs in another partition")
    assert parked.record is not None
    assert (parked.record.value, parked.record.headers) == (None, ())


# The service's own log, of which it is rebuilt


def logged(entry: Entry, *records: Record, parts: int = 1) -> tuple[list[Envelope], list[str]]:
    """What counts of the records in a log, and why the others don't."""
    wrong: list[str] = []

    def note(_: Record, error: MalformedError) -> None:
        wrong.append(str(error))

    found = own_events(CATALOG, entry.owner, records, note, parts)
    return [envelope for _, envelope in found], wrong


@each_own
def test_a_copy_under_another_id_is_not_folded(entry: Entry) -> None:
    record = record_of(entry)
    copy = with_header(record, "ce_id", NEW_ID)
    found, wrong = logged(entry, record, copy, with_header(copy, "ce_sequence", None))
    assert len(found) == 1
    assert wrong == ["ce_id is not that of its event"] * 2


@each_own
def test_an_event_without_a_number_is_not_folded(entry: Entry) -> None:
    found, wrong = logged(entry, with_header(record_of(entry), "ce_sequence", None))
    assert (found, wrong) == ([], ["attribute 'ce_sequence' is missing"])


@each_own
def test_who_reads_a_copy_under_another_id_decides_on_it(entry: Entry) -> None:
    """An id is opaque to others (CloudEvents): the rules say that it was decided on before."""
    copy = with_header(record_of(entry), "ce_id", NEW_ID)
    for service in (configured(name) for name in BY_NAME):
        if entry.event in service.consumes:
            assert [message.id for message in read(service, copy)] == [UUID(NEW_ID.decode())]


@each_own
def test_a_copy_in_another_part_of_the_log_is_not_folded(entry: Entry) -> None:
    record = record_of(entry)
    assert hash_of(record.key or b"") % PARTITIONS == record.partition
    astray = replace(record, partition=(record.partition + 1) % PARTITIONS)
    found, wrong = logged(entry, record, astray, parts=PARTITIONS)
    assert (len(found), wrong) == (1, ["its key belongs in another partition"])
    of_more = replace(record, partition=record.partition + PARTITIONS)
    assert logged(entry, of_more, parts=PARTITIONS)[1] == []


@each_own
def test_what_others_wrote_into_a_log_is_passed_over(entry: Entry) -> None:
    forged = with_header(record_of(entry), "ce_source", b"/nobody")
    assert logged(entry, forged) == ([], [])
