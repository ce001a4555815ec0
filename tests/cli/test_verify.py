"""`saga verify` without a server: each kind of difference is found, and nothing else is one."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import pytest

from chassis.decision import Decision, impossible
from chassis.message import Record
from inventory_svc.domain import Level
from inventory_svc.messages import ReceiveStock
from inventory_svc.service import SERVICE as INVENTORY
from inventory_svc.store import RESERVATIONS
from saga_cli.log.source import LogPartition
from saga_cli.verify.comparing import DATABASE_LACKS, LOG_LACKS, compare
from saga_cli.verify.deciding import EVER, ReviewResult, Window, decide_again
from saga_cli.verify.live import LiveRow
from saga_cli.verify.results import ServiceResult, ends_of
from shared_events.inventory import StockCancellationNoted
from shared_events.order import OrderConfirmed, OrderPlaced
from tests.cli.stories import AT, ServiceStory, StubSnapshot
from tests.support.records import a_record, an_order
from tests.support.saga import saga

LATER: Final = AT + timedelta(days=30)


def order(name: str, **changes: Any) -> OrderPlaced:
    return OrderPlaced(order=an_order(name, placed_at=AT, deadline=LATER, **changes))


@pytest.fixture
def story() -> ServiceStory:
    """Stock for two of three orders; the first of them is confirmed."""
    outcome = ServiceStory(INVENTORY, RESERVATIONS)
    outcome.consume(ReceiveStock(sku="CLOCK", quantity=2), order("o-1"), order("o-2"), order("o-3"))
    outcome.consume(OrderConfirmed(order_id="o-1"))
    return outcome


async def verified(story: ServiceStory, snapshot: StubSnapshot) -> ServiceResult:
    before = await ends_of(story.log, ["inventory.events"])
    return await compare(story.log, INVENTORY, snapshot, before)


async def found(story: ServiceStory, snapshot: StubSnapshot) -> list[tuple[str, str]]:
    return [(d.key, d.what) for d in (await verified(story, snapshot)).differences]


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
    assert await found(story, snapshot) == expected


async def test_a_difference_shows_the_fields_that_differ(story: ServiceStory) -> None:
    snapshot = story.snapshot()
    _off_by_one(snapshot)
    (difference,) = (await verified(story, snapshot)).differences
    assert (difference.live, difference.rebuilt) == ('{"available":1}', '{"available":0}')


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        (0, [("CLOCK", LOG_LACKS)]),
        (1, [("o-1", LOG_LACKS), ("CLOCK", "the row differs")]),
        (3, [("o-3", LOG_LACKS)]),
        (4, [("o-1", LOG_LACKS), ("CLOCK", "the row differs")]),
    ],
)
async def test_an_event_that_the_log_has_lost_is_found(
    story: ServiceStory, lost: int, expected: list[tuple[str, str]]
) -> None:
    del story.log.records["inventory.events"][lost]
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
    story.log.append(Record("inventory.events", 0, 0, b"o-1", b"rubbish", ()))
    assert await found(story, story.snapshot()) == []


async def test_an_own_event_that_cannot_be_read_is_a_difference(story: ServiceStory) -> None:
    topic = story.log.records["inventory.events"]
    topic[-1] = replace(topic[-1], value=b"rubbish")
    whats = [what for _, what in await found(story, story.snapshot())]
    assert whats == [
        "the record at inventory.events/0/4 can't be read",
        LOG_LACKS,
        "the row differs",
    ]


async def test_two_events_with_one_number_are_found(story: ServiceStory) -> None:
    story.log.append(a_record(StockCancellationNoted(order_id="o-3", reason="customer")))
    assert await found(story, story.snapshot()) == [
        ("o-3", "the log has two events with the number 1")
    ]


async def decided(story: ServiceStory, window: Window = EVER, **changes: Any) -> ReviewResult:
    topics = story.log.records
    consumed = {LogPartition(topic, 0): len(records) for topic, records in topics.items()}
    service = replace(INVENTORY, **changes)
    return await decide_again(story.log, service, consumed, window=window, relayed_s=0)


async def test_the_same_rules_decide_the_same(story: ServiceStory) -> None:
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
    ignored = story.log.records["inventory.events"].pop()
    result = await decided(story)
    assert ignored.subject == "o-5"
    (difference,) = result.differences
    assert (difference.what, difference.rebuilt) == (
        "order.placed.v1 led to nothing",
        "stock.rejected.v1",
    )


async def test_a_message_that_is_not_read_yet_is_left_alone(story: ServiceStory) -> None:
    story.log.append(a_record(order("o-5")))
    places = {LogPartition("order.events", 0): 0, LogPartition("payment.events", 0): 0}
    result = await decide_again(story.log, INVENTORY, places, relayed_s=0)
    assert (result.differences, result.decisions) == ([], 4)


async def test_decisions_that_others_came_between_depend_on_what_orders_share(
    story: ServiceStory,
) -> None:
    """The receipt is told last, though its time is that of the reservations."""
    topic = story.log.records["inventory.events"]
    topic.append(topic.pop(0))
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
