"""`saga verify` without a server: each kind of difference is found, and nothing else is one."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, get_args

import pytest

from chassis.decision import Decision, impossible
from chassis.message import Record
from inventory_svc.domain import Level
from inventory_svc.messages import ReceiveStock
from inventory_svc.service import SERVICE as INVENTORY
from inventory_svc.store import RESERVATIONS
from payment_svc.service import SERVICE as PAYMENT
from payment_svc.store import PAYMENTS
from saga_cli.log.source import LogPartition
from saga_cli.verify.comparing import DATABASE_LACKS, LOG_LACKS, compare
from saga_cli.verify.deciding import EVER, ReviewResult, Window, decide_again
from saga_cli.verify.live import LiveRow
from saga_cli.verify.results import ServiceResult, ends_of
from shared_events.inventory import StockCancellationNoted
from shared_events.order import OrderConfirmed, OrderPlaced
from shared_events.payment import PaymentCancellationNoted, PaymentRefunded
from tests.cli.stories import AT, ReadOrder, ServiceStory, StoryLog, StubSnapshot
from tests.support.records import a_record, an_order
from tests.support.saga import saga

LATER: Final = AT + timedelta(days=30)


def order(name: str, **changes: Any) -> OrderPlaced:
    return OrderPlaced(order=an_order(name, placed_at=AT, deadline=LATER, **changes))


@pytest.fixture(params=get_args(ReadOrder))
def story(request: pytest.FixtureRequest) -> ServiceStory:
    """Stock for two of three orders; the first of them is confirmed."""
    outcome = ServiceStory(INVENTORY, RESERVATIONS, StoryLog(order=request.param))
    outcome.consume(ReceiveStock(sku="CLOCK", quantity=2), order("o-1"), order("o-2"), order("o-3"))
    outcome.consume(OrderConfirmed(order_id="o-1"))
    return outcome


async def verified(story: ServiceStory, snapshot: StubSnapshot) -> ServiceResult:
    before = await ends_of(story.log, INVENTORY.log_topics)
    return await compare(story.log, INVENTORY, snapshot, before)


async def found(story: ServiceStory, snapshot: StubSnapshot) -> list[tuple[str, str]]:
    return sorted((d.key, d.what) for d in (await verified(story, snapshot)).differences)


async def test_what_is_equal_is_counted(story: ServiceStory) -> None:
    result = await verified(story, story.snapshot())
    assert result.differences == []
    assert result.notes == []
    assert (result.orders, result.events, result.rows, result.newer) == (3, 5, 4, 0)


def _row(snapshot: StubSnapshot, key: str, **changes: Any) -> None:
    snapshot.stored[key] = replace(snapshot.stored[key], **changes)


def _changed(snapshot: StubSnapshot) -> None:
    detail = str(snapshot.stored["o-1"].detail).replace('"quantity":1', '"quantity":2')
    _row(snapshot, "o-1", detail=detail)


def _renamed(snapshot: StubSnapshot) -> None:
    _row(snapshot, "o-1", status="Reserved")


def _unreadable(snapshot: StubSnapshot) -> None:
    _row(snapshot, "o-1", status="Nonsense")


def _deleted(snapshot: StubSnapshot) -> None:
    del snapshot.stored["o-2"]


def _extra(snapshot: StubSnapshot) -> None:
    snapshot.stored["o-9"] = LiveRow(1, "Rejected", '{"reason":"out_of_stock"}')


def _waiting(snapshot: StubSnapshot) -> None:
    _row(snapshot, "o-1", version=1)


def _ahead(snapshot: StubSnapshot) -> None:
    _row(snapshot, "o-1", version=4)


def _off_by_one(snapshot: StubSnapshot) -> None:
    snapshot.shared = {"CLOCK": Level(available=1, reserved=1, committed=1, receipts=1)}


def _stale_stock(snapshot: StubSnapshot) -> None:
    snapshot.shared = {"CLOCK": Level(reserved=1, committed=1)}


def _no_stock(snapshot: StubSnapshot) -> None:
    snapshot.shared = {}


def _more_stock(snapshot: StubSnapshot) -> None:
    snapshot.shared = {**(snapshot.shared or {}), "VASE": Level(available=3, receipts=1)}


def _forgotten(snapshot: StubSnapshot) -> None:
    snapshot.inbox = set()


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (_changed, [("o-1", "the row differs")]),
        (_renamed, [("o-1", "the row differs")]),
        (_unreadable, [("o-1", "the row differs")]),
        (_deleted, [("o-2", DATABASE_LACKS), ("CLOCK", "the row differs")]),
        (_extra, [("o-9", LOG_LACKS)]),
        (_waiting, [("o-1", DATABASE_LACKS), ("CLOCK", "the row differs")]),
        (_ahead, [("o-1", LOG_LACKS)]),
        (_off_by_one, [("CLOCK", "the row differs")]),
        (_stale_stock, [("CLOCK", DATABASE_LACKS)]),
        (_no_stock, [("CLOCK", DATABASE_LACKS)]),
        (_more_stock, [("VASE", LOG_LACKS)]),
        (
            _forgotten,
            [
                ("o-1", "the inbox lacks the cause of stock.reserved.v1"),
                ("o-2", "the inbox lacks the cause of stock.reserved.v1"),
                ("o-3", "the inbox lacks the cause of stock.rejected.v1"),
            ],
        ),
    ],
)
async def test_a_spoiled_row_is_found(
    story: ServiceStory, spoil: Callable[[StubSnapshot], None], expected: list[tuple[str, str]]
) -> None:
    snapshot = story.snapshot()
    spoil(snapshot)
    assert await found(story, snapshot) == sorted(expected)


async def test_a_difference_shows_the_fields_that_differ(story: ServiceStory) -> None:
    snapshot = story.snapshot()
    _off_by_one(snapshot)
    (difference,) = (await verified(story, snapshot)).differences
    assert (difference.live, difference.rebuilt) == ('{"available":1}', '{"available":0}')


@pytest.mark.parametrize(
    ("lane", "lost", "expected"),
    [
        ("facts", 0, [("CLOCK", LOG_LACKS)]),
        ("forward", 0, [("CLOCK", "the row differs"), ("o-1", LOG_LACKS)]),
        ("backward", 0, [("o-3", LOG_LACKS)]),
        ("facts", 1, [("CLOCK", "the row differs"), ("o-1", LOG_LACKS)]),
    ],
)
async def test_an_event_that_the_log_has_lost_is_found(
    story: ServiceStory, lane: str, lost: int, expected: list[tuple[str, str]]
) -> None:
    del story.log.records[f"inventory.{lane}"][lost]
    assert await found(story, story.snapshot()) == expected


async def test_what_waits_in_the_outbox_belongs_to_the_snapshot(story: ServiceStory) -> None:
    waiting = story.consume(order("o-4"), ReceiveStock(sku="VASE", quantity=1), relayed=False)
    waiting += story.consume(ReceiveStock(sku="CLOCK", quantity=5), relayed=False)
    result = await verified(story, story.snapshot(waiting))
    assert (result.differences, result.events) == ([], 8)
    assert LOG_LACKS in {what for _, what in await found(story, story.snapshot())}


async def test_what_is_in_the_log_and_the_outbox_counts_once(story: ServiceStory) -> None:
    again = story.consume(order("o-4"), ReceiveStock(sku="CLOCK", quantity=5), relayed=False)
    for row in (*again, *again):
        story.log.append(row)
    result = await verified(story, story.snapshot(again))
    assert (result.differences, result.events) == ([], 7)


async def test_what_is_decided_after_the_cut_is_newer_and_no_difference(
    story: ServiceStory,
) -> None:
    snapshot = story.snapshot()

    def more() -> None:
        story.consume(order("o-4"), OrderConfirmed(order_id="o-2"))

    story.log.grows = more
    result = await verified(story, snapshot)
    assert (result.differences, result.events, result.newer) == ([], 5, 2)


async def test_an_inbox_that_was_pruned_is_a_count(story: ServiceStory) -> None:
    snapshot = story.snapshot()
    _forgotten(snapshot)
    snapshot.remembers = AT + timedelta(seconds=1)
    result = await verified(story, snapshot)
    assert result.differences == []
    assert result.notes == ["4 causes are older than the inbox remembers"]


async def test_what_others_left_in_the_topic_is_none_of_it(story: ServiceStory) -> None:
    story.log.append(Record("inventory.forward", 0, 0, b"o-1", b"rubbish", ()))
    assert await found(story, story.snapshot()) == []


async def test_an_own_event_that_cannot_be_read_is_a_difference(story: ServiceStory) -> None:
    topic = story.log.records["inventory.facts"]
    topic[-1] = replace(topic[-1], value=b"rubbish")
    whats = {what for _, what in await found(story, story.snapshot())}
    assert whats == {
        "the record at inventory.facts/0/1 can't be read",
        LOG_LACKS,
        "the row differs",
    }


async def test_two_events_with_one_number_are_found(story: ServiceStory) -> None:
    story.log.append(a_record(StockCancellationNoted(order_id="o-3", reason="customer")))
    assert await found(story, story.snapshot()) == [
        ("o-3", "the log has two events with the number 1")
    ]


async def test_two_events_with_a_number_that_others_wait_for_are_found(
    story: ServiceStory,
) -> None:
    """Neither of them can be folded: what is before them is in no lane."""
    del story.log.records["inventory.forward"][0]
    story.log.append(_numbered(2, StockCancellationNoted(order_id="o-1", reason="customer")))
    assert ("o-1", "the log has two events with the number 2") in await found(
        story, story.snapshot()
    )


def _numbered(number: int, event: Any) -> Record:
    record = a_record(event)
    kept = ((n, b"%d" % number if n == "ce_sequence" else raw) for n, raw in record.headers)
    return replace(record, headers=tuple(kept))


@pytest.mark.parametrize("order", get_args(ReadOrder))
async def test_what_waits_for_an_event_that_follows_nothing_is_not_folded(order: ReadOrder) -> None:
    refund: dict[str, Any] = {"captured_minor": 0, "refunded_minor": 0, "fee_minor": 0}
    story = ServiceStory(PAYMENT, PAYMENTS, StoryLog(order=order))
    refunded = PaymentRefunded(
        order_id="o-9", reason="customer", refused_by="", currency="EUR", **refund
    )
    story.log.append(_numbered(1, refunded))
    story.log.append(_numbered(2, PaymentCancellationNoted(order_id="o-9", reason="customer")))
    snapshot = story.snapshot()
    snapshot.stored["o-9"] = LiveRow(2, "Noted", "{}")
    result = await compare(story.log, PAYMENT, snapshot, await ends_of(story.log, []))
    (difference,) = result.differences
    assert difference.what == "the log makes no sense"
    assert result.events == 0


async def test_what_was_published_before_the_lanes_is_a_part_of_the_log(
    story: ServiceStory,
) -> None:
    """The service moved in the middle: later events of the same orders are in the lanes."""
    topics = story.log.records
    for lane in ("inventory.forward", "inventory.backward"):
        for record in topics.pop(lane):
            story.log.append(replace(record, topic="inventory.events"))
    story.consume(OrderConfirmed(order_id="o-2"))
    result = await verified(story, story.snapshot())
    assert (result.differences, result.events) == ([], 6)
    assert {*topics} > {"inventory.events", "inventory.facts"}


async def decided(story: ServiceStory, window: Window = EVER, **changes: Any) -> ReviewResult:
    topics = story.log.records
    consumed = {LogPartition(topic, 0): len(records) for topic, records in topics.items()}
    service = replace(INVENTORY, **changes)
    return await decide_again(story.log, service, consumed, window=window, relayed_s=0)


async def test_the_same_rules_decide_the_same(story: ServiceStory) -> None:
    story.log.order = "as appended"
    story.consume(OrderConfirmed(order_id="o-1"))
    result = await decided(story)
    assert result.differences == []
    assert (result.decisions, result.external, result.shared, result.quiet) == (4, 1, 0, 0)


def but(change: Callable[[Any, Any, datetime], Decision | None]) -> dict[str, Any]:
    """Rules that are changed for some messages."""

    def decide(state: Any, message: Any, at: datetime) -> Any:
        other = change(state, message, at)
        return INVENTORY.decide(state, message, at) if other is None else other

    return {"decide": decide}


async def test_another_outcome_is_shown_event_by_event(story: ServiceStory) -> None:
    def committed_to_nobody(_state: Any, message: Any, _at: datetime) -> Decision | None:
        return impossible("we don't") if isinstance(message, OrderConfirmed) else None

    (difference,) = (await decided(story, **but(committed_to_nobody))).differences
    assert (difference.key, difference.rebuilt) == ("o-1", "we don't")
    assert difference.what == "order.confirmed.v1 led to stock.committed.v1"
    assert '"stock.committed.v1"' in difference.live


async def test_a_rule_that_fails_is_shown_as_such(story: ServiceStory) -> None:
    def failing(_state: Any, message: Any, _at: datetime) -> Decision | None:
        return 1 / 0 if isinstance(message, OrderConfirmed) else None  # type: ignore[return-value]

    (difference,) = (await decided(story, **but(failing))).differences
    assert difference.rebuilt == "ZeroDivisionError: division by zero"


async def test_a_window_leaves_out_what_is_not_in_it(story: ServiceStory) -> None:
    before = await decided(story, Window(EVER.since, AT))
    from_then = await decided(story, Window(AT, AT + timedelta(seconds=1)))
    assert (before.decisions, from_then.decisions) == (0, 4)


async def test_a_message_that_led_to_nothing_must_lead_to_nothing(story: ServiceStory) -> None:
    story.consume(order("o-5"))
    ignored = story.log.records["inventory.backward"].pop()
    result = await decided(story)
    assert ignored.subject == "o-5"
    (difference,) = result.differences
    assert (difference.what, difference.rebuilt) == (
        "order.placed.v1 led to nothing",
        "stock.rejected.v1",
    )


async def test_a_message_that_is_not_read_yet_is_left_alone(story: ServiceStory) -> None:
    story.log.append(a_record(order("o-5")))
    places = {LogPartition(topic, 0): 0 for topic in INVENTORY.topics}
    result = await decide_again(story.log, INVENTORY, places, relayed_s=0)
    assert (result.differences, result.decisions) == ([], 4)


async def test_decisions_that_others_came_between_depend_on_what_orders_share(
    story: ServiceStory,
) -> None:
    """The receipt is read after the reservations, though its time is theirs."""
    story.log.order = "last topic first"
    result = await decided(story)
    assert (result.differences, result.shared) == ([], 2)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("nobody",), "there is no service 'nobody'"),
        (("--since", "2026-01-01"), "are for --decide"),
        (("--decide", "--since", "now"), "'now' is no instant"),
        (("--decide", "--code", "/nowhere"), "/nowhere is no checkout"),
        (("payment",), "no stack runs in this folder"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_exit_code_2(
    words: tuple[str, ...], why: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = saga("verify", *words)
    assert result.code == 2
    assert len(result.err.splitlines()) == 1
    assert why in result.err
