"""The rules of a payment."""

from payment_svc.domain import Refund
from payment_svc.service import SERVICE
from shared_events.payment import PaymentRefundRequested
from tests.domain.builders import (
    TOO_LATE,
    an_order,
    cancellation_requested,
    capture_requested,
    captured,
    declined,
    refund_requested,
    refunded,
    reserved,
    shipment_cancelled,
    shipment_rejected,
)
from tests.domain.samples.payment import (
    CAPTURED,
    CAPTURING,
    CARD_DECLINED,
    CHARGE,
    DECLINED,
    NOTED,
    REFUND_SUCCEEDED,
    REFUNDED,
    REFUNDING,
    SAMPLES,
    SUCCEEDED,
)
from tests.domain.support import given


def give_back(amount: int) -> Refund:
    return Refund(order_id="o-1", amount_minor=amount, currency="EUR", provider_ref="ch-1")


def test_reserved_stock_asks_for_the_money_and_records_the_intent_first() -> None:
    given(SERVICE).when(reserved()).then(capture_requested(), effects=(CHARGE,))


def test_reserved_stock_past_the_deadline_is_declined_without_a_charge() -> None:
    given(SERVICE).when(reserved(), at=TOO_LATE).then(declined("deadline_exceeded"))


def test_the_deadline_itself_is_in_time() -> None:
    given(SERVICE).when(reserved(), at=an_order().deadline).then(
        capture_requested(), effects=(CHARGE,)
    )


def test_an_order_cancelled_before_it_was_seen_is_declined_without_a_charge() -> None:
    given(SERVICE, NOTED).when(reserved()).then(declined("cancelled"))


def test_money_is_asked_for_once() -> None:
    for history in (CAPTURING, CAPTURED, DECLINED, REFUNDING, REFUNDED):
        given(SERVICE, *history).when(reserved()).then_nothing()


def test_a_capture_that_succeeds_is_published_with_the_order() -> None:
    given(SERVICE, *CAPTURING).when(SUCCEEDED).then(captured())


def test_a_capture_is_noted_once() -> None:
    for history in (CAPTURED, REFUNDING, REFUNDED):
        given(SERVICE, *history).when(SUCCEEDED).then_nothing()


def test_a_capture_nobody_asked_for_is_impossible() -> None:
    for history in ((), (NOTED,), DECLINED):
        given(SERVICE, *history).when(SUCCEEDED).then_impossible()


def test_a_declined_card_declines_the_payment() -> None:
    given(SERVICE, *CAPTURING).when(CARD_DECLINED).then(declined())


def test_a_payment_is_declined_once() -> None:
    given(SERVICE, *DECLINED).when(CARD_DECLINED).then_nothing()


def test_a_decline_nobody_asked_for_is_impossible() -> None:
    for history in ((), (NOTED,), CAPTURED, REFUNDING, REFUNDED):
        given(SERVICE, *history).when(CARD_DECLINED).then_impossible()


def test_a_rejected_shipment_gives_all_the_money_back() -> None:
    given(SERVICE, *CAPTURED).when(shipment_rejected()).then(
        refund_requested("undeliverable_country", "shipping"), effects=(give_back(3000),)
    )


def test_a_cancelled_shipment_gives_the_money_back_in_the_name_of_who_refused() -> None:
    given(SERVICE, *CAPTURED).when(shipment_cancelled("customer_suspended", "loyalty")).then(
        refund_requested("customer_suspended", "loyalty"), effects=(give_back(3000),)
    )


def test_a_restocking_fee_is_kept() -> None:
    given(SERVICE, *CAPTURED).when(shipment_cancelled(fee=100)).then(
        refund_requested(fee=100), effects=(give_back(2900),)
    )


def test_a_fee_never_exceeds_what_was_captured() -> None:
    given(SERVICE, *CAPTURED).when(shipment_cancelled(fee=9000)).then(
        PaymentRefundRequested(
            order_id="o-1", reason="customer", refused_by="order", refund_minor=0, fee_minor=3000
        ),
        effects=(give_back(0),),
    )


def test_money_is_given_back_once() -> None:
    for history in (REFUNDING, REFUNDED):
        given(SERVICE, *history).when(shipment_rejected()).then_nothing()
        given(SERVICE, *history).when(shipment_cancelled()).then_nothing()


def test_a_shipment_undone_without_a_capture_is_impossible() -> None:
    for history in ((), (NOTED,), CAPTURING, DECLINED):
        given(SERVICE, *history).when(shipment_rejected()).then_impossible()
        given(SERVICE, *history).when(shipment_cancelled()).then_impossible()


def test_a_refund_that_succeeds_is_published_with_the_first_reason() -> None:
    history = (*CAPTURED, refund_requested("customer", "order", fee=100))
    given(SERVICE, *history).when(REFUND_SUCCEEDED).then(refunded(fee=100))


def test_a_refund_is_noted_once() -> None:
    given(SERVICE, *REFUNDED).when(REFUND_SUCCEEDED).then_nothing()


def test_a_refund_nobody_asked_for_is_impossible() -> None:
    for history in ((), (NOTED,), CAPTURING, CAPTURED, DECLINED):
        given(SERVICE, *history).when(REFUND_SUCCEEDED).then_impossible()


def test_a_cancellation_before_the_stock_is_noted() -> None:
    given(SERVICE).when(cancellation_requested()).then(NOTED)


def test_a_cancellation_later_is_left_to_downstream() -> None:
    for history in filter(None, SAMPLES.histories.values()):
        given(SERVICE, *history).when(cancellation_requested()).then_nothing()
