"""The rules of a shipment."""

import pytest

from chassis.decision import Later
from shipping_svc.domain import POLICY, UNDELIVERABLE
from shipping_svc.service import SERVICE
from tests.domain.builders import (
    IN_TIME,
    TOO_LATE,
    an_order,
    booking_requested,
    cancellation_requested,
    captured,
    confirmed,
    deducted,
    dispatch_requested,
    dispatched,
    points_rejected,
    shipment_approved,
    shipment_cancel_requested,
    shipment_cancellation_refused,
    shipment_cancelled,
    shipment_created,
    shipment_rejected,
)
from tests.domain.samples.shipping import (
    APPROVED,
    BOOK,
    BOOKED,
    BOOKING,
    BOOKING_CANCELLED,
    CANCEL_BOOKING,
    CANCELLED,
    CANCELLING,
    CREATED,
    DISPATCH,
    DISPATCHED,
    DISPATCHING,
    DISPATCHING_REFUSED,
    DUE,
    HAND_OVER,
    HANDED_OVER,
    LEAVING,
    NEVER_BOOKED,
    NO_TIMER,
    NOTED,
    REFUSED,
    REJECTED,
    SAMPLES,
    TOO_LATE_TO_CANCEL,
)
from tests.domain.support import given


def test_captured_money_books_a_shipment_and_records_the_intent_first() -> None:
    given(SERVICE).when(captured()).then(booking_requested(), effects=(BOOK,))


@pytest.mark.parametrize("country", sorted(UNDELIVERABLE))
def test_no_carrier_goes_to_an_undeliverable_country(country: str) -> None:
    given(SERVICE).when(captured(country=country)).then(shipment_rejected())


def test_a_shipment_past_the_deadline_is_rejected() -> None:
    given(SERVICE).when(captured(), at=TOO_LATE).then(shipment_rejected("deadline_exceeded"))


def test_the_deadline_itself_is_in_time() -> None:
    given(SERVICE).when(captured(), at=an_order().deadline).then(
        booking_requested(), effects=(BOOK,)
    )


def test_an_order_cancelled_before_it_was_seen_is_rejected() -> None:
    given(SERVICE, NOTED).when(captured()).then(shipment_rejected("cancelled"))


def test_a_shipment_is_decided_once() -> None:
    for history in (BOOKING, CREATED, APPROVED, *LEAVING, CANCELLING, CANCELLED, REJECTED):
        given(SERVICE, *history).when(captured()).then_nothing()


def test_a_booking_is_published_with_the_order_and_the_carriers_reference() -> None:
    given(SERVICE, *BOOKING).when(BOOKED).then(shipment_created())


def test_a_carriers_refusal_rejects_the_shipment() -> None:
    given(SERVICE, *BOOKING).when(REFUSED).then(shipment_rejected("carrier_refused"))


def test_a_booking_is_noted_once() -> None:
    for history in (CREATED, APPROVED, *LEAVING, CANCELLING, CANCELLED):
        given(SERVICE, *history).when(BOOKED).then_nothing()
    given(SERVICE, *REJECTED).when(REFUSED).then_nothing()


def test_an_answer_of_the_carrier_that_nobody_asked_for_is_impossible() -> None:
    for history in NEVER_BOOKED:
        given(SERVICE, *history).when(BOOKED).then_impossible()
    for history in ((), (NOTED,), CREATED, APPROVED, *LEAVING, CANCELLING, CANCELLED):
        given(SERVICE, *history).when(REFUSED).then_impossible()
    for history in (*NEVER_BOOKED, BOOKING, CREATED, APPROVED, CANCELLING, CANCELLED):
        given(SERVICE, *history).when(HANDED_OVER).then_impossible()
    for history in (*NEVER_BOOKED, BOOKING, CREATED, APPROVED, *LEAVING):
        given(SERVICE, *history).when(BOOKING_CANCELLED).then_impossible()


def test_a_confirmed_order_lets_the_shipment_leave_after_a_while() -> None:
    given(SERVICE, *CREATED).when(confirmed()).then(
        shipment_approved(), effects=(Later(IN_TIME + POLICY.dispatch_after, DUE),)
    )


def test_a_shipment_is_approved_once() -> None:
    for history in (APPROVED, *LEAVING):
        given(SERVICE, *history).when(confirmed()).then_nothing()


def test_a_confirmation_that_a_cancellation_overtook_is_too_late() -> None:
    for history in (CANCELLING, CANCELLED):
        given(SERVICE, *history).when(confirmed()).then_nothing()


def test_a_confirmation_without_a_shipment_is_impossible() -> None:
    for history in (*NEVER_BOOKED, BOOKING):
        given(SERVICE, *history).when(confirmed()).then_impossible()


def test_an_approved_shipment_is_dispatched_by_an_operator_or_by_its_timer() -> None:
    for message in (DISPATCH, DUE):
        given(SERVICE, *APPROVED).when(message).then(
            dispatch_requested(), effects=(HAND_OVER,), dropped=NO_TIMER
        )


def test_a_shipment_has_left_when_the_carrier_has_it() -> None:
    for history in (DISPATCHING, DISPATCHING_REFUSED):
        given(SERVICE, *history).when(HANDED_OVER).then(dispatched())


def test_a_shipment_is_dispatched_once() -> None:
    for history in LEAVING:
        given(SERVICE, *history).when(DISPATCH).then_nothing()
        given(SERVICE, *history).when(DUE).then_nothing()
    for history in (DISPATCHED, TOO_LATE_TO_CANCEL):
        given(SERVICE, *history).when(HANDED_OVER).then_nothing()


def test_an_order_that_is_not_confirmed_is_not_dispatched() -> None:
    for history in (BOOKING, CREATED):
        given(SERVICE, *history).when(DISPATCH).then_refused("not_confirmed")


def test_a_cancelled_shipment_is_not_dispatched() -> None:
    for history in (CANCELLING, CANCELLED):
        given(SERVICE, *history).when(DISPATCH).then_refused("cancelled")
        given(SERVICE, *history).when(DUE).then_nothing()


def test_a_shipment_that_was_not_made_is_not_dispatched() -> None:
    for history in NEVER_BOOKED:
        given(SERVICE, *history).when(DISPATCH).then_refused("unknown_shipment", "not_found")


def test_rejected_points_cancel_the_booking_in_the_name_of_loyalty() -> None:
    expected = shipment_cancel_requested("customer_suspended", "loyalty")
    given(SERVICE, *CREATED).when(points_rejected()).then(
        expected, effects=(CANCEL_BOOKING,), dropped=NO_TIMER
    )


def test_a_customer_pays_for_restocking_once_somebody_has_begun_to_pack() -> None:
    given(SERVICE, *CREATED).when(deducted()).then(
        shipment_cancel_requested(), effects=(CANCEL_BOOKING,), dropped=NO_TIMER
    )
    given(SERVICE, *APPROVED).when(deducted()).then(
        shipment_cancel_requested(fee=150), effects=(CANCEL_BOOKING,), dropped=NO_TIMER
    )


def test_nobody_pays_for_restocking_what_was_not_the_customers_wish() -> None:
    given(SERVICE, *APPROVED).when(deducted("deadline_exceeded")).then(
        shipment_cancel_requested("deadline_exceeded"),
        effects=(CANCEL_BOOKING,),
        dropped=NO_TIMER,
    )


def test_a_shipment_is_cancelled_when_the_carrier_says_so_at_the_price_recorded_first() -> None:
    history = (*APPROVED, shipment_cancel_requested(fee=150))
    given(SERVICE, *history).when(BOOKING_CANCELLED).then(shipment_cancelled(fee=150))


def test_a_shipment_that_leaves_is_not_cancelled() -> None:
    for history in (DISPATCHING, DISPATCHED):
        given(SERVICE, *history).when(deducted()).then(shipment_cancellation_refused())


def test_a_cancellation_is_answered_once() -> None:
    for history in (CANCELLING, CANCELLED, DISPATCHING_REFUSED, TOO_LATE_TO_CANCEL):
        given(SERVICE, *history).when(deducted()).then_nothing()
        given(SERVICE, *history).when(points_rejected()).then_nothing()
    given(SERVICE, *CANCELLED).when(BOOKING_CANCELLED).then_nothing()


def test_points_undone_without_a_shipment_are_impossible() -> None:
    for history in (*NEVER_BOOKED, BOOKING):
        given(SERVICE, *history).when(deducted()).then_impossible()
        given(SERVICE, *history).when(points_rejected()).then_impossible()


def test_a_cancellation_before_the_payment_is_noted() -> None:
    given(SERVICE).when(cancellation_requested()).then(NOTED)


def test_a_cancellation_later_is_left_to_downstream() -> None:
    for history in filter(None, SAMPLES.histories.values()):
        given(SERVICE, *history).when(cancellation_requested()).then_nothing()


def test_a_log_of_the_release_before_carriers_still_folds() -> None:
    before = (
        shipment_created(),
        shipment_approved(),
        dispatched(),
        shipment_cancellation_refused(),
    )
    given(SERVICE, *before).when(deducted()).then_nothing()
    given(SERVICE, shipment_created(), shipment_cancelled()).when(confirmed()).then_nothing()
