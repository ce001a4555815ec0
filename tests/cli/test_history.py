"""An order's story, and the tail of the log, without a server."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from chassis.kafka.topics import hash_of
from guarantees.services import BY_NAME
from saga_cli.history import showing
from saga_cli.history.reading import NOW, Looked, events_of, homes
from saga_cli.history.showing import TimelineStep, story
from saga_cli.log.reader import TOPICS, LogEvent
from saga_cli.log.source import Limit, LogPartition, UnreadableError
from tests.cli.memory_log import MemoryLog
from tests.cli.orders import DAY_ONE, DAY_TWO, OrderLog, a_shop, order_id
from tests.support.saga import saga

RETURNED: Final = order_id(DAY_ONE, 0)
FORWARD: Final = [
    "order.placed.v1",
    "stock.reserved.v1",
    "payment.capture_requested.v1",
    "payment.captured.v1",
    "shipment.created.v1",
    "points.awarded.v1",
    "order.confirmed.v1",
    "stock.committed.v1",
]


@pytest.fixture(scope="module")
def shop() -> OrderLog:
    return a_shop()


def outcome(shop: OrderLog, subject: str, until: Limit = NOW) -> list[TimelineStep]:
    return story(asyncio.run(events_of(shop.log, subject, [], until)), subject)


def types(steps: list[TimelineStep]) -> list[str]:
    return [step.envelope.type for step in steps]


def test_causes_come_before_what_they_led_to_and_repeats_are_left_out(shop: OrderLog) -> None:
    steps = outcome(shop, order_id(DAY_ONE, 1))
    assert types(steps) == FORWARD
    assert [(step.cause, step.direct) for step in steps] == [
        *((0, False), (1, True), (2, True), (3, False), (4, True), (5, True), (6, True)),
        (7, True),
    ]
    assert [step.ms for step in steps] == [200 * n for n in range(8)]
    assert [step.hop_ms for step in steps] == [None, *[200] * 7]


def test_an_order_is_told_as_it_was_at_an_instant(shop: OrderLog) -> None:
    assert types(outcome(shop, RETURNED))[-1] == "order.cancelled.v1"
    assert types(outcome(shop, RETURNED, Limit(DAY_ONE + timedelta(hours=1)))) == FORWARD
    at = DAY_ONE + timedelta(milliseconds=150)
    assert types(outcome(shop, RETURNED, Limit(at))) == FORWARD[:2]
    assert outcome(shop, RETURNED, Limit(DAY_ONE)) == []


def test_an_order_is_told_as_it_was_before_offsets(shop: OrderLog) -> None:
    homes_ = asyncio.run(homes(shop.log, RETURNED))
    first = {
        str(place): next((k.offset for k in shop.log.kept[place] if k.subject == RETURNED), 0)
        for place in homes_
    }
    (order,) = (name for name in first if name.startswith("order.forward"))
    assert outcome(shop, RETURNED, Limit(offsets=first)) == []
    later = {**first, order: first[order] + 1}
    assert types(outcome(shop, RETURNED, Limit(offsets=later))) == FORWARD[:1]
    with pytest.raises(UnreadableError, match=r"no partition order\.forward/99"):
        outcome(shop, RETURNED, Limit(offsets={"order.forward/99": 1}))


def test_one_partition_of_each_topic_is_read(shop: OrderLog) -> None:
    spans = asyncio.run(homes(shop.log, RETURNED))
    assert len(spans) == len({place.topic for place in spans}) == len(TOPICS)
    assert len(asyncio.run(shop.log.spans({place.topic for place in spans}))) > len(TOPICS)


def test_where_a_key_was_put_before_its_topic_grew_is_read_too() -> None:
    log = MemoryLog({LogPartition("order.forward", number): [] for number in range(9)})
    hashed = hash_of(b"o-2")
    assert hashed % 6 != hashed % 9
    found = asyncio.run(homes(log, "o-2"))
    assert {place.partition for place in found} == {hashed % number for number in (6, 7, 8, 9)}


def test_what_the_services_did_not_publish_is_not_told(shop: OrderLog) -> None:
    homes_ = asyncio.run(homes(shop.log, RETURNED))
    good = next(shop.log.kept[home][0] for home in homes_ if shop.log.kept[home])
    before = types(outcome(shop, good.subject))
    renamed = {"ce_id": b"0" * 32, "ce_source": b"/nobody"}
    headers = tuple((name, renamed.get(name, raw)) for name, raw in good.headers)
    other = OrderLog(MemoryLog({place: list(kept) for place, kept in shop.log.kept.items()}))
    other.log.append(replace(good, headers=headers), DAY_TWO + timedelta(days=1))
    assert types(outcome(other, good.subject)) == before


def test_the_diagram_has_an_arrow_for_each_hop_and_a_note_for_each_end(shop: OrderLog) -> None:
    steps = outcome(shop, order_id(DAY_TWO))
    services = {step.service for step in steps}
    lines = [line.strip() for line in showing.mermaid(steps)]
    assert lines == [
        "sequenceDiagram",
        *(f"participant {name}" for name in BY_NAME if name in services),
        "order->>inventory: order.placed.v1 (+100 ms)",
        "inventory->>payment: stock.reserved.v1 (+100 ms)",
        "Note over payment: payment.capture_requested.v1 at 200 ms",
        "payment->>shipping: payment.captured.v1 (+100 ms)",
        "shipping->>loyalty: shipment.created.v1 (+100 ms)",
        "loyalty->>order: points.awarded.v1 (+100 ms)",
        "order->>inventory: order.confirmed.v1 (+100 ms)",
        "Note over inventory: stock.committed.v1 at 700 ms",
    ]


def test_what_programs_get_says_where_each_event_stands(shop: OrderLog) -> None:
    steps = showing.as_json(outcome(shop, RETURNED))
    assert steps[0]["cause"] is None
    assert steps[0]["data"]["order"]["order_id"] == RETURNED
    refunded = next(step for step in steps if step["type"] == "payment.refunded.v1")
    assert (refunded["data"]["refunded_minor"], refunded["hop_ms"]) == (860, 1000)
    place = LogPartition(refunded["topic"], refunded["partition"])
    record = shop.log.kept[place][refunded["offset"]]
    assert record.subject == RETURNED


def looked(shop: OrderLog, **wanted: Any) -> list[LogEvent]:
    return asyncio.run(Looked(**wanted).newest(shop.log))[0]


def test_events_come_in_the_order_of_time_whatever_their_partition(shop: OrderLog) -> None:
    found = looked(shop)
    times = [event.timestamp_ms for event in found]
    assert times == sorted(times)
    assert len({(event.topic, event.partition) for event in found}) > 5
    assert found[-1].envelope.type == "order.cancelled.v1"
    assert looked(shop, limit=3) == found[-3:]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"pattern": "payment.refunded"}, {"payment.refunded.v1"}),
        ({"pattern": "payment.refunded.v1"}, {"payment.refunded.v1"}),
        (
            {"pattern": "stock.*", "subject": RETURNED},
            {"stock.reserved.v1", "stock.committed.v1", "stock.released.v1"},
        ),
        (
            {"subject": RETURNED, "since": DAY_TWO + timedelta(hours=1, seconds=4)},
            {"stock.released.v1", "order.cancelled.v1"},
        ),
        (
            {"until": DAY_ONE + timedelta(milliseconds=1), "pattern": "stock.*"},
            {"stock.rejected.v1"},
        ),
        ({"pattern": "nothing"}, set()),
    ],
)
def test_events_are_those_that_are_looked_for(
    shop: OrderLog, wanted: dict[str, Any], expected: set[str]
) -> None:
    found = looked(shop, **wanted)
    assert {event.envelope.type for event in found} >= expected
    if expected:
        pattern = wanted.get("pattern", "").partition(".")[0]
        assert all(event.envelope.type.startswith(pattern) for event in found)
    else:
        assert found == []


def test_what_cannot_be_read_is_said_and_the_rest_is_shown(shop: OrderLog) -> None:
    all_ = Looked()
    found, _ = asyncio.run(all_.newest(shop.log))
    assert len(found) > 40
    broken, foreign = all_.unread
    assert broken.startswith("order.facts/0/")
    assert foreign.startswith("payment.forward/1/")
    assert foreign.endswith("order.placed.v1 does not belong on this topic")


def test_a_partition_that_no_topic_has_is_no_empty_answer(shop: OrderLog) -> None:
    with pytest.raises(UnreadableError, match="partition 99"):
        looked(shop, partition=99)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("timeline", "o-1", "--json", "--mermaid"), "--json or --mermaid"),
        (("timeline", "o-1", "--json", "--trace"), "--trace is for the table"),
        (("timeline", "o-1", "--until", "noon"), "'noon' is no instant"),
        (("timeline", "o-1", "--until", "order.forward/3=x"), "are no offsets such as"),
        (("timeline", "o-1"), "no stack runs in this folder"),
        (("events", "--follow", "--until", "2026-01-01"), "leave --until out"),
        (("events", "--since", "noon"), "'noon' is no instant"),
        (("events", "--limit", "0"), "--limit"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_exit_code_2(
    words: tuple[str, ...], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = saga(*words)
    assert result.code == 2
    assert len(result.err.splitlines()) == 1
    assert why in result.err
