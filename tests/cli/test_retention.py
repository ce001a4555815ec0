"""Each setting and state in which a hole could open is refused, with its reason."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from saga_cli.archive.guard import Facts, ParkedRecords, TopicRetention, refusals
from saga_cli.log.source import LogPartition, Span
from shared_events.catalog import DELIVERY_DETAILS

NOW: Final = datetime(2026, 3, 1, tzinfo=UTC)
DAY_MS: Final = 24 * 3600 * 1000
EVENTS: Final = "order.events"
PLACE: Final = LogPartition(EVENTS, 2)
FOR_EVER: Final = Facts(
    NOW,
    {EVENTS: TopicRetention(), DELIVERY_DETAILS: TopicRetention(compacted=True)},
    {PLACE: Span(0, 100)},
    {},
    None,
    {"inventory": {PLACE: 20}},
)
WEEK: Final = replace(
    FOR_EVER,
    topics={**FOR_EVER.topics, EVENTS: TopicRetention(ms=7 * DAY_MS)},
    spans={PLACE: Span(10, 100)},
    halfway={PLACE: 60},
    archived={PLACE: Span(0, 60)},
    read={"inventory": {PLACE: 60}},
)


@pytest.mark.parametrize("facts", [FOR_EVER, WEEK])
def test_what_is_safe_is_not_refused(facts: Facts) -> None:
    assert refusals(facts) == []


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {"archived": None},
            [
                "order.events is cut, and there is no archive",
                "order.events/2: 10 records were cut and not archived",
            ],
        ),
        (
            {"archived": {PLACE: Span(0, 59)}},
            ["order.events/2: 1 records not archived after half of its retention"],
        ),
        (
            {"archived": {PLACE: Span(4, 90)}},
            ["order.events/2: 4 records were cut and not archived"],
        ),
        ({"archived": {}}, ["order.events/2: 10 records were cut and not archived"]),
        (
            {"topics": {EVENTS: TopicRetention(bytes=4096)}},
            ["order.events keeps 4096 bytes: it is cut by traffic, not by time"],
        ),
        (
            {"topics": {EVENTS: TopicRetention(compacted=True)}},
            ["order.events is compacted: older events of an order are removed"],
        ),
        (
            {"parked": (ParkedRecords("inventory", EVENTS, 4, NOW - timedelta(days=8)),)},
            [
                "inventory has parked 4 of order.events, the oldest for 8 days, which is kept 7 days",
            ],
        ),
        ({"parked": (ParkedRecords("inventory", EVENTS, 4, NOW - timedelta(days=6)),)}, []),
        ({"parked": (ParkedRecords("shipping", DELIVERY_DETAILS, 1, NOW - timedelta(900)),)}, []),
        (
            {"read": {"inventory": {PLACE: 55}}},
            ["order.events/2: inventory has not read 5 after half of its retention"],
        ),
        (
            {"read": {"inventory": {PLACE: 7}}},
            ["order.events/2: 3 records were cut before inventory read them"],
        ),
    ],
)
def test_each_way_to_a_hole_is_told(changes: dict[str, Any], why: list[str]) -> None:
    assert refusals(replace(WEEK, **changes)) == why


def test_what_loyalty_is_rebuilt_from_is_kept_for_ever() -> None:
    cut = {"loyalty.events": TopicRetention(ms=7 * DAY_MS)}
    facts = replace(WEEK, topics=cut, spans={}, read={})
    assert refusals(facts) == [
        "loyalty.events is cut: loyalty rebuilds a lost Redis from Kafka alone"
    ]
