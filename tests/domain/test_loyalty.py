"""The rules of loyalty points."""

from dataclasses import replace
from typing import Any, Final

import pytest

from chassis.decision import publish
from loyalty_svc.domain import INITIAL, POINTS_MAX, Customer, Policy
from loyalty_svc.service import SERVICE, with_policy
from shared_events.loyalty import CustomerReinstated
from tests.domain.builders import (
    TOO_LATE,
    an_order,
    awarded,
    cancellation_requested,
    deducted,
    points_rejected,
    shipment_cancellation_refused,
    shipment_created,
)
from tests.domain.samples.loyalty import (
    AWARDED,
    AWARDED_AGAIN,
    DEDUCTED,
    NOTED,
    REINSTATE,
    REJECTED,
    SUSPEND,
    SUSPENDED,
)
from tests.domain.support import folded, given

REINSTATED: Final = CustomerReinstated(customer_id="c-1", attempt=2)


def customers_after(*events: Any) -> Any:
    return SERVICE.split(folded(SERVICE, events))[1]


def test_a_shipment_earns_a_point_for_every_full_euro() -> None:
    given(SERVICE).when(shipment_created(total_minor=3099)).then(awarded())


def test_awarded_points_are_credited() -> None:
    assert customers_after(*AWARDED) == {"c-1": Customer(points=30)}


def test_a_suspended_customer_earns_nothing() -> None:
    given(SERVICE, SUSPENDED).when(shipment_created()).then(points_rejected())


def test_a_reinstated_customer_earns_points_again() -> None:
    given(SERVICE, SUSPENDED, REINSTATED).when(shipment_created()).then(awarded())


@pytest.mark.parametrize(
    ("currency", "total_minor", "points"),
    [
        ("EUR", 3099, 30),
        ("JPY", 3099, 30),
        ("ISK", 309_900, 30),
        ("KWD", 30_990, 30),
        ("XAU", 99, 9),
    ],
)
def test_what_earns_a_point_is_the_currencys(currency: str, total_minor: int, points: int) -> None:
    policy = Policy(per_point={"XAU": 10})
    assert policy.points(total_minor, currency) == points
    service = with_policy(policy)
    created = shipment_created(total_minor=total_minor, currency=currency)
    given(service).when(created).then(replace(awarded(), points=points))


@pytest.mark.parametrize("points", [POINTS_MAX + 1, 2**53, 10**30])
def test_points_beyond_what_is_counted_are_refused(points: int) -> None:
    refused = points_rejected("too_many_points")
    given(SERVICE).when(shipment_created(total_minor=100 * points)).then(refused)
    given(SERVICE).when(shipment_created(total_minor=100 * POINTS_MAX)).then(
        replace(awarded(), points=POINTS_MAX)
    )
    full = replace(awarded(), order_id="o-2", points=POINTS_MAX)
    state = SERVICE.with_shared(INITIAL, customers_after(full))
    assert SERVICE.decide(state, shipment_created(), an_order().placed_at) == publish(refused)


def test_a_shipment_past_the_deadline_earns_nothing() -> None:
    late = points_rejected("deadline_exceeded")
    given(SERVICE).when(shipment_created(), at=TOO_LATE).then(late)


def test_the_deadline_itself_is_in_time() -> None:
    given(SERVICE).when(shipment_created(), at=an_order().deadline).then(awarded())


def test_an_order_cancelled_before_it_was_seen_earns_nothing() -> None:
    given(SERVICE, NOTED).when(shipment_created()).then(points_rejected("cancelled"))


def test_points_are_awarded_once() -> None:
    for history in (AWARDED, DEDUCTED, AWARDED_AGAIN, REJECTED):
        given(SERVICE, *history).when(shipment_created()).then_nothing()


def test_a_cancellation_takes_the_points_back() -> None:
    given(SERVICE, *AWARDED).when(cancellation_requested()).then(deducted())
    assert customers_after(*DEDUCTED) == {"c-1": Customer(points=0)}


def test_a_cancellation_before_the_shipment_is_noted() -> None:
    given(SERVICE).when(cancellation_requested()).then(NOTED)


def test_a_cancellation_is_answered_once() -> None:
    for history in ((NOTED,), DEDUCTED, AWARDED_AGAIN, REJECTED):
        given(SERVICE, *history).when(cancellation_requested()).then_nothing()


def test_a_refused_cancellation_gives_the_points_again() -> None:
    given(SERVICE, *DEDUCTED).when(shipment_cancellation_refused()).then(awarded(attempt=2))
    assert customers_after(*AWARDED_AGAIN) == {"c-1": Customer(points=30)}


def test_points_are_given_again_once() -> None:
    given(SERVICE, *AWARDED_AGAIN).when(shipment_cancellation_refused()).then_nothing()


def test_a_refused_cancellation_without_a_deduction_is_impossible() -> None:
    for history in ((), (NOTED,), REJECTED, AWARDED):
        given(SERVICE, *history).when(shipment_cancellation_refused()).then_impossible()


def test_changes_of_standing_are_numbered_per_customer() -> None:
    given(SERVICE).when(SUSPEND).then(SUSPENDED)
    given(SERVICE, SUSPENDED).when(REINSTATE).then(REINSTATED)


def test_a_standing_that_stands_is_nothing_new() -> None:
    given(SERVICE).when(REINSTATE).then_nothing()
    given(SERVICE, SUSPENDED).when(SUSPEND).then_nothing()


def test_a_suspension_leaves_earned_points_alone() -> None:
    expected = {"c-1": Customer(points=30, suspended=True, changes=1)}
    assert customers_after(*AWARDED, SUSPENDED) == expected
