"""The flow of the console is that of the declarations."""

from collections import Counter
from itertools import pairwise
from typing import get_args

from console import flow
from console.model import EdgeKind
from guarantees.protocol import CALLS, CONFIRMED, STEPS
from guarantees.services import SERVICES
from shared_events.catalog import CATALOG
from tests.domain.samples.all import BY_SERVICE

FORWARD = [step.forward for step in STEPS]


def test_each_event_of_an_order_leads_to_a_state_of_its_service_or_leaves_it_as_it_is() -> None:
    unchanged = {entry.identity for entry in flow.SAGA_EVENTS} - flow.STATE_AFTER.keys()
    assert unchanged == {"shipment.cancellation_refused.v1"}
    for identity, state in flow.STATE_AFTER.items():
        owner = CATALOG.by_type[identity].owner
        assert state in {kind.__name__ for kind in get_args(BY_SERVICE[owner].states)}


def test_an_edge_has_one_id_and_ends_at_services() -> None:
    assert [id_ for id_, n in Counter(edge.id for edge in flow.EDGES).items() if n > 1] == []
    names = {manifest.name for manifest in SERVICES}
    assert {edge.source for edge in flow.EDGES} | {edge.target for edge in flow.EDGES} <= names


def test_there_is_an_edge_for_each_step_forward_and_for_each_call() -> None:
    chain = [flow.hop_id(step.forward, after.service) for step, after in pairwise(STEPS)]
    assert set(chain) <= flow.EDGE_BY_ID.keys()
    calls = {edge.id for edge in flow.EDGES if edge.kind is EdgeKind.CALL}
    assert calls == {flow.call_id(service, kind) for (service, _), kind in CALLS.items()}


def test_an_order_waits_for_the_service_after_the_last_that_has_acted() -> None:
    states: dict[str, str] = {}
    seen: set[str] = set()
    for step, after in pairwise(STEPS):
        seen.add(step.forward)
        states[step.service] = flow.STATE_AFTER[step.forward]
        edges = [edge.id for edge in flow.waited_on(states, seen)]
        assert edges == [flow.hop_id(step.forward, after.service)]


def test_an_order_whose_payment_is_being_asked_for_waits_for_the_provider() -> None:
    states = {"order": "Pending", "inventory": "Reserved", "payment": "Capturing"}
    seen = {"order.placed.v1", "stock.reserved.v1", "payment.capture_requested.v1"}
    assert [edge.id for edge in flow.waited_on(states, seen)] == ["payment:Capture"]


def test_a_timer_is_waited_for_only_where_nothing_else_is() -> None:
    states = {"order": "Confirmed", "inventory": "Reserved", "shipping": "Approved"}
    seen = {"order.confirmed.v1", "shipment.approved.v1"}
    assert [edge.id for edge in flow.waited_on(states, seen)] == ["order.confirmed>inventory"]
    states["inventory"] = "Committed"
    seen.add("stock.committed.v1")
    assert [edge.id for edge in flow.waited_on(states, seen)] == ["shipping:DispatchDue"]


def test_points_that_are_awarded_again_are_not_deducted_again() -> None:
    """The shipment had left: the order waits to be confirmed again, and for nothing else."""
    states = {"order": "Cancelling", "inventory": "Committed", "payment": "Captured"}
    states |= {"shipping": "Dispatching", "loyalty": "Awarded"}
    seen = {*FORWARD, CONFIRMED, "order.cancellation_requested.v1", "stock.committed.v1"}
    seen |= {"points.deducted.v1", "shipment.cancellation_refused.v1"}
    edges = [edge.id for edge in flow.waited_on(states, seen)]
    assert edges == ["points.awarded>order", "shipping:HandOver"]
    assert flow.remaining(states, seen) == ("order.cancellation_refused.v1",)


def test_what_remains_forward_are_the_steps_not_done_yet() -> None:
    states = {"order": "Pending", "inventory": "Reserved"}
    remaining = flow.remaining(states, set(FORWARD[:2]))
    assert remaining == (*FORWARD[2:], CONFIRMED)


def test_what_remains_backward_is_what_was_done_in_reverse() -> None:
    states = {"order": "Pending", "inventory": "Reserved", "payment": "Captured"}
    seen = {*FORWARD[:3], "shipment.rejected.v1"}
    assert flow.remaining(states, seen) == tuple(step.back for step in reversed(STEPS[:3]))


def test_nothing_remains_of_a_settled_order() -> None:
    assert flow.remaining({"order": "Cancelled"}, {"order.placed.v1"}) == ()


def test_an_edge_is_passed_by_what_was_decided_on_its_event() -> None:
    passed = flow.passed("payment", "stock.reserved.v1", "stock.reserved.v1")
    assert passed is flow.EDGE_BY_ID["stock.reserved>payment"]
    call = flow.passed("payment", "CaptureSucceeded", "")
    assert call is flow.EDGE_BY_ID["payment:Capture"]
    assert flow.passed("order", "PlaceOrder", "") is None


def test_ids_of_payments_and_shipments_are_references() -> None:
    names = {name for _, name in flow.REFERENCES}
    assert names == {"provider_ref", "shipment_id", "carrier_ref"}
