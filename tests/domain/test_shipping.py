"""The rules of a shipment."""

import pytest

from shipping_svc.domain import UNDELIVERABLE
from shipping_svc.service import SERVICE
from tests.domain.builders import (
    TOO_LATE,
    an_order,
    cancellation_requested,
    captured,
    confirmed,
    deducted,
    points_rejected,
    shipment_cancellation_refused,
    shipment_cancelled,
    shipment_created,
    shipment_rejected,
)
from tests.domain.samples.shipping import (
    APPROVED,
    CANCELLED,
    CREATED,
    DISPATCH,
    DISPATCHED,
    LEFT,
    MAY_LEAVE,
    NOTED,
    REJECTED,
    SAMPLES,
    TOO_LATE_TO_CANCEL,
)
from tests.domain.support import given


def test_captured_money_makes_a_shipment() -> None:
    given(SERVICE).when(captured()).then(shipment_created())


@pytest.mark.parametrize("country", sorted(UNDELIVERABLE))
def test_no_carrier_goes_to_an_undeliverable_country(country: str) -> None:
    given(SERVICE).when(captured(country=country)).then(shipment_rejected())


def test_a_shipment_past_the_deadline_is_rejected() -> None:
    given(SERVICE).when(captured(), at=TOO_LATE).then(shipment_rejected("deadline_exceeded"))


def test_the_deadline_itself_is_in_time() -> None:
    given(SERVICE).when(captured(), at=an_order().deadline).then(shipment_created())


def test_an_order_cancelled_before_it_was_seen_is_rejected() -> None:
    given(SERVICE, NOTED).when(captured()).then(shipment_rejected("cancelled"))


def test_a_shipment_is_decided_once() -> None:
    for history in (CREATED, APPROVED, DISPATCHED, CANCELLED, REJECTED):
        given(SERVICE, *history).when(captured()).then_nothing()


def test_a_confirmed_order_lets_the_shipment_leave() -> None:
    given(SERVICE, *CREATED).when(confirmed()).then(MAY_LEAVE)


def test_a_shipment_is_approved_once() -> None:
    for history in (APPROVED, DISPATCHED, TOO_LATE_TO_CANCEL):
        given(SERVICE, *history).when(confirmed()).then_nothing()


def test_a_confirmation_that_a_cancellation_overtook_is_too_late() -> None:
    given(SERVICE, *CANCELLED).when(confirmed()).then_nothing()


def test_a_confirmation_without_a_shipment_is_impossible() -> None:
    for history in ((), (NOTED,), REJECTED):
        given(SERVICE, *history).when(confirmed()).then_impossible()


def test_an_approved_shipment_is_dispatched() -> None:
    given(SERVICE, *APPROVED).when(DISPATCH).then(LEFT)


def test_a_shipment_is_dispatched_once() -> None:
    given(SERVICE, *DISPATCHED).when(DISPATCH).then_nothing()


def test_an_order_that_is_not_confirmed_is_not_dispatched() -> None:
    given(SERVICE, *CREATED).when(DISPATCH).then_refused("not_confirmed")


def test_a_cancelled_shipment_is_not_dispatched() -> None:
    given(SERVICE, *CANCELLED).when(DISPATCH).then_refused("cancelled")


def test_a_shipment_that_was_not_made_is_not_dispatched() -> None:
    for history in ((), (NOTED,), REJECTED):
        given(SERVICE, *history).when(DISPATCH).then_refused("unknown_shipment")


def test_rejected_points_cancel_the_shipment_in_the_name_of_loyalty() -> None:
    expected = shipment_cancelled("customer_suspended", "loyalty")
    given(SERVICE, *CREATED).when(points_rejected()).then(expected)


def test_deducted_points_cancel_the_shipment_until_it_leaves() -> None:
    given(SERVICE, *CREATED).when(deducted()).then(shipment_cancelled())
    given(SERVICE, *APPROVED).when(deducted()).then(shipment_cancelled())


def test_a_shipment_that_left_is_not_cancelled() -> None:
    given(SERVICE, *DISPATCHED).when(deducted()).then(shipment_cancellation_refused())


def test_a_cancellation_is_answered_once() -> None:
    for history in (CANCELLED, TOO_LATE_TO_CANCEL):
        given(SERVICE, *history).when(deducted()).then_nothing()
        given(SERVICE, *history).when(points_rejected()).then_nothing()


def test_points_undone_without_a_shipment_are_impossible() -> None:
    for history in ((), (NOTED,), REJECTED):
        given(SERVICE, *history).when(deducted()).then_impossible()
        given(SERVICE, *history).when(points_rejected()).then_impossible()


def test_a_cancellation_before_the_payment_is_noted() -> None:
    given(SERVICE).when(cancellation_requested()).then(NOTED)


def test_a_cancellation_later_is_left_to_downstream() -> None:
    for history in filter(None, SAMPLES.histories.values()):
        given(SERVICE, *history).when(cancellation_requested()).then_nothing()
