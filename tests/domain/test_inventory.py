"""The rules of the stock."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from hypothesis import given as for_any
from hypothesis import strategies as st

from chassis.decision import Decision
from inventory_svc.domain import Level
from inventory_svc.messages import ReceiveStock, ReturnStock, SetStock, WriteOffStock
from inventory_svc.service import SERVICE
from shared_events.inventory import StockReceived, StockReserved, StockWrittenOff
from shared_events.order import OrderCancellationRequested, OrderConfirmed
from shared_events.payment import PaymentDeclined
from shared_events.shipping import ShipmentDispatched
from shared_events.values import Line
from tests.domain.builders import (
    CUP,
    IN_TIME,
    TOO_LATE,
    an_order,
    cancellation_requested,
    committed,
    confirmed,
    declined,
    dispatched,
    placed,
    received,
    refunded,
    released,
    reserved,
    returned,
    shipped,
    stock_rejected,
    written_off,
)
from tests.domain.samples.inventory import GIVEN_BACK, GONE, HELD, NOTED, SOLD
from tests.domain.support import folded, given

TEA: Final = Line(sku="TEA", quantity=1, unit_price_minor=500)


def levels_after(*events: Any) -> Any:
    return SERVICE.split(folded(SERVICE, events))[1]


def test_enough_stock_is_reserved() -> None:
    given(SERVICE, received(2)).when(placed()).then(reserved())


def test_reserved_pieces_leave_the_shelf() -> None:
    assert levels_after(*HELD) == {"CUP": Level(available=8, reserved=2, receipts=1)}


def test_too_little_stock_rejects_the_order() -> None:
    given(SERVICE, received(1)).when(placed()).then(stock_rejected())


def test_an_unknown_product_is_out_of_stock() -> None:
    given(SERVICE).when(placed()).then(stock_rejected())


def test_one_missing_line_rejects_them_all() -> None:
    given(SERVICE, received()).when(placed(lines=(CUP, TEA))).then(stock_rejected())


def test_two_lines_of_one_product_are_added_up() -> None:
    given(SERVICE, received(3)).when(placed(lines=(CUP, CUP))).then(stock_rejected())
    given(SERVICE, received(4)).when(placed(lines=(CUP, CUP))).then(reserved(lines=(CUP, CUP)))


def test_an_order_past_its_deadline_is_rejected() -> None:
    late = stock_rejected("deadline_exceeded")
    given(SERVICE, received()).when(placed(), at=TOO_LATE).then(late)


def test_an_order_at_its_deadline_is_in_time() -> None:
    deadline = an_order().deadline
    given(SERVICE, received()).when(placed(), at=deadline).then(reserved())


def test_an_order_cancelled_before_it_was_seen_is_rejected() -> None:
    given(SERVICE, received(), NOTED).when(placed()).then(stock_rejected("cancelled"))


def test_an_order_is_decided_once() -> None:
    for history in (HELD, SOLD, GIVEN_BACK, (stock_rejected(),)):
        given(SERVICE, *history).when(placed()).then_nothing()


def test_a_cancellation_before_the_order_is_noted() -> None:
    given(SERVICE).when(cancellation_requested()).then(NOTED)


def test_a_cancellation_after_the_order_is_left_to_downstream() -> None:
    for history in (HELD, SOLD, GIVEN_BACK, (stock_rejected(),), (NOTED,)):
        given(SERVICE, *history).when(cancellation_requested()).then_nothing()


def test_a_confirmed_order_sells_what_was_held() -> None:
    given(SERVICE, *HELD).when(confirmed()).then(committed())
    assert levels_after(*SOLD) == {"CUP": Level(available=8, committed=2, receipts=1)}


def test_stock_is_sold_once() -> None:
    given(SERVICE, *SOLD).when(confirmed()).then_nothing()


def test_a_confirmation_after_the_release_is_too_late() -> None:
    given(SERVICE, *GIVEN_BACK).when(confirmed()).then_nothing()


def test_a_confirmation_of_what_was_never_held_is_impossible() -> None:
    for history in ((), (NOTED,), (stock_rejected(),)):
        given(SERVICE, *history).when(confirmed()).then_impossible()


def test_a_declined_card_releases_the_stock() -> None:
    expected = released("card_declined", "payment", refunded=0)
    given(SERVICE, *HELD).when(declined()).then(expected)
    assert levels_after(*HELD, expected) == {"CUP": Level(available=10, receipts=1)}


def test_a_refund_releases_the_stock_and_passes_on_reason_and_money() -> None:
    message = refunded("undeliverable_country", "shipping", fee=100)
    expected = released("undeliverable_country", "shipping", refunded=2900, fee=100)
    given(SERVICE, *HELD).when(message).then(expected)


def test_a_refund_takes_sold_stock_back() -> None:
    given(SERVICE, *SOLD).when(refunded(provider=0)).then(released())
    assert levels_after(*SOLD, released()) == {"CUP": Level(available=10, receipts=1)}


def test_stock_is_released_once() -> None:
    given(SERVICE, *GIVEN_BACK).when(refunded()).then_nothing()
    given(SERVICE, *GIVEN_BACK).when(declined()).then_nothing()


def test_a_payment_undone_without_a_reservation_is_impossible() -> None:
    for history in ((), (NOTED,), (stock_rejected(),)):
        given(SERVICE, *history).when(declined()).then_impossible()
        given(SERVICE, *history).when(refunded()).then_impossible()


def test_received_pieces_are_numbered_per_product() -> None:
    message = ReceiveStock(sku="CUP", quantity=5)
    given(SERVICE, received()).when(message).then(received(5, attempt=2))


def test_a_count_books_the_difference_to_what_is_on_hand() -> None:
    given(SERVICE, *SOLD).when(SetStock(sku="CUP", on_hand=12)).then(received(2, attempt=2))
    fewer = written_off(3, attempt=2, reason="counted")
    given(SERVICE, *SOLD).when(SetStock(sku="CUP", on_hand=7)).then(fewer)


def test_what_has_left_the_shelf_is_not_counted() -> None:
    """The carrier has 7 of 10: 3 are there, and 100 after a delivery are 97 more."""
    lines = (replace(CUP, quantity=7),)
    order = reserved(lines=lines)
    sold = (received(), order, replace(committed(), lines=lines), replace(shipped(), lines=lines))
    given(SERVICE, *sold).when(SetStock(sku="CUP", on_hand=3)).then_nothing()
    given(SERVICE, *sold).when(SetStock(sku="CUP", on_hand=100)).then(received(97, attempt=2))
    given(SERVICE, *sold).when(SetStock(sku="CUP", on_hand=0)).then(
        written_off(3, attempt=2, reason="counted")
    )
    assert levels_after(*sold)["CUP"].received == 10


def test_a_dispatched_shipment_takes_its_stock_off_the_shelf() -> None:
    given(SERVICE, *SOLD).when(dispatched()).then(shipped())
    assert levels_after(*GONE) == {"CUP": Level(available=8, shipped=2, receipts=1)}


def test_a_dispatch_that_overtakes_the_confirmation_commits_and_ships() -> None:
    given(SERVICE, *HELD).when(dispatched()).then(committed(), shipped())
    given(SERVICE, *GONE).when(confirmed()).then_nothing()


def test_stock_is_shipped_once_and_comes_back_by_no_refund() -> None:
    given(SERVICE, *GONE).when(dispatched()).then_nothing()
    given(SERVICE, *GONE).when(cancellation_requested()).then_nothing()
    given(SERVICE, *GONE).when(refunded()).then_impossible()
    given(SERVICE, *GONE).when(declined()).then_impossible()


def test_a_shipment_without_stock_is_impossible() -> None:
    for history in ((), (NOTED,), (stock_rejected(),), GIVEN_BACK):
        given(SERVICE, *history).when(dispatched()).then_impossible()


def test_a_write_off_takes_available_pieces_only() -> None:
    command = WriteOffStock(sku="CUP", quantity=8, reason="damaged")
    given(SERVICE, *HELD).when(command).then(written_off(8, attempt=2))
    given(SERVICE, *HELD).when(replace(command, quantity=9)).then_refused("stock_in_use")
    given(SERVICE).when(command).then_refused("stock_in_use")
    after = levels_after(*HELD, written_off(8, attempt=2))
    assert after == {"CUP": Level(reserved=2, receipts=2)}


def test_only_what_was_shipped_comes_back() -> None:
    command = ReturnStock(sku="CUP", quantity=2)
    given(SERVICE, *GONE).when(command).then(returned(2, attempt=2))
    given(SERVICE, *GONE).when(replace(command, quantity=3)).then_refused("not_shipped")
    given(SERVICE, *SOLD).when(command).then_refused("not_shipped")
    after = levels_after(*GONE, returned(2, attempt=2))
    assert after == {"CUP": Level(available=10, receipts=2, returned=2)}


def test_a_count_that_agrees_is_nothing_new() -> None:
    given(SERVICE, *HELD).when(SetStock(sku="CUP", on_hand=10)).then_nothing()


def test_held_pieces_are_not_counted_away() -> None:
    given(SERVICE, *HELD).when(SetStock(sku="CUP", on_hand=1)).then_refused("stock_in_use")


SKUS: Final = st.sampled_from(("CUP", "TEA"))
ORDER_IDS: Final = st.sampled_from(("o-1", "o-2", "o-3"))
LINES: Final = st.lists(
    st.builds(Line, sku=SKUS, quantity=st.integers(1, 5), unit_price_minor=st.just(100)),
    min_size=1,
    max_size=3,
).map(tuple)
MESSAGES: Final = st.one_of(
    st.builds(SetStock, sku=SKUS, on_hand=st.integers(0, 20)),
    st.builds(ReceiveStock, sku=SKUS, quantity=st.integers(1, 20)),
    st.builds(WriteOffStock, sku=SKUS, quantity=st.integers(1, 9), reason=st.just("damaged")),
    st.builds(ReturnStock, sku=SKUS, quantity=st.integers(1, 5)),
    st.builds(ShipmentDispatched, order_id=ORDER_IDS),
    st.builds(lambda order_id, lines: placed(order_id=order_id, lines=lines), ORDER_IDS, LINES),
    st.builds(OrderConfirmed, order_id=ORDER_IDS),
    st.builds(OrderCancellationRequested, order_id=ORDER_IDS, reason=st.just("customer")),
    st.builds(PaymentDeclined, order_id=ORDER_IDS, reason=st.just("card_declined")),
)


def key_of(message: Any) -> str:
    order = getattr(message, "order", message)
    key: str = getattr(order, "order_id", "") or message.sku
    return key


@for_any(st.lists(MESSAGES, max_size=30))
def test_no_sequence_of_messages_loses_or_invents_a_piece(messages: Sequence[Any]) -> None:
    reservations: dict[str, Any] = {}
    levels: dict[str, Level] = {}
    receipts = {"CUP": 0, "TEA": 0}
    for message in messages:
        own = reservations.get(key_of(message), SERVICE.initial)
        named = SERVICE.shared_keys(own, message)
        state = SERVICE.with_shared(own, {sku: levels[sku] for sku in named if sku in levels})
        answer = SERVICE.decide(state, message, IN_TIME)
        for event in answer.events if isinstance(answer, Decision) else ():
            state = SERVICE.evolve(state, event)
            if isinstance(event, StockReceived | StockWrittenOff):
                sign = 1 if isinstance(event, StockReceived) else -1
                receipts[event.sku] += sign * event.quantity
        reservations[key_of(message)], changed = SERVICE.split(state)
        levels |= changed
        for level in levels.values():
            assert min(level.available, level.reserved, level.committed, level.shipped) >= 0
        assert {sku: levels.get(sku, Level()).received for sku in receipts} == receipts


def test_a_reservation_keeps_the_order_untouched() -> None:
    order = an_order(unknown={"gift": True})
    given(SERVICE, received()).when(placed(unknown={"gift": True})).then(StockReserved(order=order))
