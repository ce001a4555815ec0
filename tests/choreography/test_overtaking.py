"""Events of one owner that a service reads from two topics may come in either order: each has its answer."""

import pytest

from tests.choreography.overtaking import Pair, found, racing


@pytest.mark.long(3)
def test_no_event_of_one_topic_could_be_overtaken_even_in_a_topic_of_its_own() -> None:
    """Whatever stands together follows from what its reader has done with the one before, or excludes it."""
    overtaken = {frozenset({met.later, met.earlier}) for met in found()}
    assert overtaken <= {frozenset({pair.one, pair.other}) for pair in racing()}


def test_these_events_of_one_owner_race() -> None:
    assert set(racing()) == {
        Pair("inventory", "order.placed", "order.confirmed"),
        Pair("inventory", "order.placed", "order.cancellation_requested"),
        Pair("inventory", "order.confirmed", "order.cancellation_requested"),
        Pair("shipping", "order.confirmed", "order.cancellation_requested"),
    }


def test_an_event_that_was_overtaken_has_an_answer_in_each_state_that_meets_it() -> None:
    answers = {(m.service, m.later, m.earlier, m.state): m.answer for m in found()}
    cancelled, late = "order.cancellation_requested", "a cancellation came first by another topic"
    assert answers == {
        ("inventory", cancelled, "order.placed", "Noted"): "`stock.rejected`",
        ("inventory", cancelled, "order.confirmed", "Reserved"): "`stock.committed`",
        ("inventory", cancelled, "order.confirmed", "Released"): late,
        ("inventory", cancelled, "order.confirmed", "Shipped"): "committed before",
        ("shipping", cancelled, "order.confirmed", "Created"): "`shipment.approved`",
        ("shipping", cancelled, "order.confirmed", "Cancelling"): late,
        ("shipping", cancelled, "order.confirmed", "Cancelled"): late,
    }
