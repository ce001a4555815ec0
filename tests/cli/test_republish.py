"""Which events are sent again, by what is kept and what stands in the topic."""

from typing import Any, NamedTuple

import pytest

from chassis.message import OutboxRow
from saga_cli.republish.services import PublishedEvents, RetainedEvents, lost

TOPIC = "payment.facts"


class TopicRecord(NamedTuple):
    topic: str
    key: bytes
    offset: int
    headers: list[tuple[str, bytes]]


def headers(event: str, number: int) -> list[tuple[str, bytes]]:
    return [("ce_id", event.encode()), ("ce_sequence", b"%d" % number)]


def kept(*events: str) -> RetainedEvents:
    """Each is a key and a number: a1."""
    found = RetainedEvents(frozenset({TOPIC}))
    found.add(OutboxRow(TOPIC, e[0], b"", headers(e, int(e[1:]))) for e in events)
    found.add([OutboxRow("payment.dead-letters", "a", b"", headers("a9", 9))])
    return found


def standing(*events: str) -> PublishedEvents:
    found = PublishedEvents()
    found.add(
        TopicRecord(TOPIC, e[0].encode(), offset, headers(e, int(e[1:])))
        for offset, e in enumerate(events)
    )
    return found


ALL = ("a1", "b1", "a2", "b2", "a3")


@pytest.mark.parametrize(
    ("topic", "again"),
    [
        (ALL, {}),
        ((), {"a": 0, "b": 0}),
        (("a1", "b1", "a2", "b2"), {"a": 2}),
        (("b1", "a2", "b2", "a3"), {"a": 0}),
        (("a1", "b1", "b2", "a3"), {"a": 1}),
        (("a3", "a1", "b1", "a2", "b2"), {"a": 2}),
        (("a3", "a1", "b1", "a2", "b2", "a3"), {}),
        ((*ALL, "a1", "a2", "b2"), {"a": 2}),
    ],
    ids=[
        "all there",
        "all gone",
        "the last of a",
        "the first of a",
        "one in the middle",
        "a later one got ahead",
        "it was sent again",
        "put back half way",
    ],
)
def test_a_key_is_sent_again_from_the_first_that_is_missing_or_out_of_order(
    topic: tuple[str, ...], again: dict[str, int]
) -> None:
    expected = {(TOPIC, key): since for key, since in again.items()}
    assert standing(*topic).again(kept(*ALL).names) == expected


@pytest.mark.parametrize(
    ("holds", "count"), [({"a": 3, "b": 2}, 0), ({"a": 4, "b": 2}, 1), ({"c": 5}, 5), ({}, 0)]
)
def test_what_a_state_counts_and_nobody_has_is_lost(holds: dict[str, int], count: int) -> None:
    assert lost(holds, kept("a3", "b1", "b2"), standing("a1", "a2", "b1")) == count


def test_a_hole_that_no_state_tells_of_is_lost_too() -> None:
    assert lost({}, kept("a4"), standing("a1", "a3")) == 1


def test_what_others_left_in_the_topic_is_no_event() -> None:
    found = PublishedEvents()
    rubbish: Any = [
        TopicRecord(TOPIC, b"\xff", 0, [("ce_sequence", b"many")]),
        TopicRecord(TOPIC, b"", 1, []),
    ]
    found.add(rubbish)
    assert lost({}, kept(), found) == 0
