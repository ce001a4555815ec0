"""The rules of an order."""

from dataclasses import replace
from typing import Final

import pytest

from chassis.decision import Decision, Later
from order_svc.messages import CartLine, DeadlinePassed, PriceProduct
from order_svc.service import SERVICE
from shared_events.order import (
    OrderCancellationRequested,
    OrderCancelled,
    OrderPlaced,
    ProductPriced,
)
from shared_events.values import Line
from tests.domain.builders import (
    DEADLINE,
    PLACED_AT,
    an_order,
    awarded,
    cancellation_requested,
    confirmed,
    order_cancelled,
    placed,
    priced,
    released,
    stock_rejected,
)
from tests.domain.samples.order import (
    CANCEL,
    CANCELLED,
    CANCELLING,
    CONFIRMED,
    GIVE_UP,
    PASSED,
    PLACE,
    PRICE,
    TOO_LATE_TO_CANCEL,
)
from tests.domain.support import folded, given

TIMER: Final = (Later(DEADLINE, PASSED),)
NO_TIMER: Final = (DeadlinePassed,)


def test_an_order_is_placed_at_the_catalogues_price_with_a_deadline() -> None:
    given(SERVICE, priced()).when(PLACE, at=PLACED_AT).then(placed(), effects=TIMER)


def test_an_order_takes_the_newest_price() -> None:
    cheaper = placed(lines=(Line(sku="CUP", quantity=2, unit_price_minor=900),), total_minor=1800)
    newest = priced(price_minor=900, attempt=2)
    given(SERVICE, priced(), newest).when(PLACE, at=PLACED_AT).then(cheaper, effects=TIMER)


def test_the_total_is_the_sum_over_all_lines() -> None:
    cart = (CartLine(sku="CUP", quantity=2), CartLine(sku="TEA", quantity=3))
    lines = (
        Line(sku="CUP", quantity=2, unit_price_minor=1500),
        Line(sku="TEA", quantity=3, unit_price_minor=499),
    )
    expected = OrderPlaced(order=an_order(lines=lines, total_minor=4497))
    given(SERVICE, priced(), priced("TEA", 499)).when(replace(PLACE, cart=cart), at=PLACED_AT).then(
        expected, effects=TIMER
    )


def test_a_total_beyond_what_every_reader_keeps_exact_is_refused() -> None:
    dear = priced(price_minor=10**10, attempt=2)
    most = (CartLine(sku="CUP", quantity=10_000),)
    given(SERVICE, dear).when(replace(PLACE, cart=most * 91)).then_refused(
        "total_too_large", "invalid"
    )


def test_an_order_is_placed_once() -> None:
    given(SERVICE, priced(), placed()).when(PLACE).then_refused("order_exists")


def test_an_empty_cart_is_refused() -> None:
    given(SERVICE, priced()).when(replace(PLACE, cart=())).then_refused("empty_cart", "invalid")


def test_an_unknown_product_is_refused() -> None:
    given(SERVICE).when(PLACE).then_refused("unknown_sku", "invalid")


def test_a_product_sold_in_another_currency_is_refused() -> None:
    given(SERVICE, priced()).when(replace(PLACE, currency="USD")).then_refused(
        "wrong_currency", "invalid"
    )


def test_a_first_price_starts_revision_one() -> None:
    given(SERVICE).when(PRICE).then(priced())


def test_a_changed_price_is_the_next_revision() -> None:
    changed = replace(PRICE, price_minor=900)
    given(SERVICE, priced()).when(changed).then(priced(price_minor=900, attempt=2))


def test_the_same_price_again_is_nothing_new() -> None:
    given(SERVICE, priced()).when(PRICE).then_nothing()


def test_a_price_leaves_a_placed_order_alone() -> None:
    given(SERVICE, priced(), placed(), priced(price_minor=1)).when(awarded()).then(
        confirmed(), dropped=NO_TIMER
    )


def test_awarded_points_confirm_the_order() -> None:
    given(SERVICE, placed()).when(awarded()).then(confirmed(), dropped=NO_TIMER)


def test_an_order_is_confirmed_once() -> None:
    given(SERVICE, *CONFIRMED).when(awarded()).then_nothing()


def test_points_awarded_before_a_cancellation_wait_for_its_answer() -> None:
    given(SERVICE, *CANCELLING).when(awarded()).then_nothing()


def test_points_awarded_again_refuse_the_cancellation() -> None:
    given(SERVICE, *CONFIRMED, cancellation_requested()).when(awarded(attempt=2)).then(
        TOO_LATE_TO_CANCEL
    )


def test_points_for_an_unknown_order_are_impossible() -> None:
    given(SERVICE).when(awarded()).then_impossible()


def test_points_that_come_after_the_cancellation_are_too_late_to_matter() -> None:
    """`loyalty.events` may lag behind `inventory.events`, which carried the whole way back."""
    given(SERVICE, *CANCELLED).when(awarded()).then_nothing()


def test_rejected_stock_cancels_the_order() -> None:
    given(SERVICE, placed()).when(stock_rejected()).then(
        OrderCancelled(order_id="o-1", reason="out_of_stock", refused_by="inventory"),
        dropped=NO_TIMER,
    )


def test_released_stock_cancels_the_order_with_the_first_refusals_reason_and_the_money() -> None:
    message = released("undeliverable_country", "shipping", refunded=2900, fee=100)
    given(SERVICE, placed()).when(message).then(
        OrderCancelled(
            order_id="o-1",
            reason="undeliverable_country",
            refused_by="shipping",
            refunded_minor=2900,
            fee_minor=100,
        ),
        dropped=NO_TIMER,
    )


def test_released_stock_ends_a_requested_cancellation() -> None:
    given(SERVICE, *CANCELLING).when(released()).then(order_cancelled(), dropped=NO_TIMER)


def test_an_order_is_cancelled_once() -> None:
    given(SERVICE, *CANCELLED).when(released()).then_nothing()
    given(SERVICE, *CANCELLED).when(stock_rejected()).then_nothing()


def test_stock_given_back_under_a_confirmed_order_is_impossible() -> None:
    given(SERVICE, *CONFIRMED).when(released()).then_impossible()
    given(SERVICE).when(stock_rejected()).then_impossible()


def test_a_cancellation_may_be_asked_for_while_pending_and_after_confirmation() -> None:
    asked = OrderCancellationRequested(order_id="o-1", reason="customer")
    given(SERVICE, placed()).when(CANCEL).then(asked, dropped=NO_TIMER)
    given(SERVICE, *CONFIRMED).when(CANCEL).then(asked, dropped=NO_TIMER)


def test_a_pending_order_is_given_up_at_its_deadline() -> None:
    given(SERVICE, placed()).when(PASSED).then(GIVE_UP)


def test_a_deadline_that_finds_the_order_settled_or_being_cancelled_changes_nothing() -> None:
    for history in (CONFIRMED, CANCELLING, CANCELLED):
        given(SERVICE, *history).when(PASSED).then_nothing()


def test_a_deadline_of_an_unknown_order_is_impossible() -> None:
    given(SERVICE).when(PASSED).then_impossible()


def test_a_noted_cancellation_ends_with_the_reason_of_who_wished_it() -> None:
    noted = stock_rejected("cancelled")
    for request, reason in ((cancellation_requested(), "customer"), (GIVE_UP, "deadline_exceeded")):
        given(SERVICE, placed(), request).when(noted).then(
            OrderCancelled(order_id="o-1", reason=reason, refused_by="inventory"), dropped=NO_TIMER
        )


def test_an_unknown_order_is_not_cancelled() -> None:
    given(SERVICE).when(CANCEL).then_refused("unknown_order", "not_found")


def test_a_cancellation_is_asked_for_once() -> None:
    given(SERVICE, *CANCELLING).when(CANCEL).then_refused("already_cancelling")
    given(SERVICE, *CANCELLED).when(CANCEL).then_refused("already_cancelled")


def test_a_cancellation_refused_once_is_refused_for_good() -> None:
    history = (*CONFIRMED, cancellation_requested(), TOO_LATE_TO_CANCEL)
    given(SERVICE, *history).when(CANCEL).then_refused("cancellation_refused")


@pytest.mark.parametrize(("currency", "step"), [("ISK", 100), ("UGX", 100), ("KWD", 10)])
def test_a_price_and_a_total_are_multiples_of_the_currencys_step(currency: str, step: int) -> None:
    price = PriceProduct(sku="CUP", name="A cup", price_minor=step, currency=currency)
    good = ProductPriced(sku="CUP", name="A cup", price_minor=step, currency=currency)
    given(SERVICE).when(price).then(good)
    given(SERVICE).when(replace(price, price_minor=step + 1)).then_refused(
        "amount_not_payable", "invalid"
    )
    old = replace(good, price_minor=step // 2)  # priced by a release that took any
    place = replace(PLACE, currency=currency, cart=(CartLine(sku="CUP", quantity=1),))
    given(SERVICE, old).when(place).then_refused("amount_not_payable", "invalid")
    two = replace(place, cart=(CartLine(sku="CUP", quantity=2),))
    assert isinstance(SERVICE.decide(folded(SERVICE, (old,)), two, PLACED_AT), Decision)
