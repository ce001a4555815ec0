"""What orders add up to, over the golden logs of past releases: as their services had it."""

from collections.abc import Iterator
from functools import cache
from random import Random
from typing import NamedTuple

from chassis.events import Envelope
from console import flow
from console.fold import FoldedOrder, folded, references_in
from guarantees.judge import by_order
from guarantees.protocol import SETTLED
from shared_events.catalog import CATALOG
from tests.contract import golden_log
from tests.contract.golden_log import GoldenRun


class Logged(NamedTuple):
    topic: str
    envelope: Envelope


def orders_of(run: GoldenRun) -> dict[str, list[Envelope]]:
    """Events of each order, causes before what they led to."""
    events = (
        Logged("", envelope)
        for log in run.published.values()
        for envelope in log
        if CATALOG.entry_of(envelope.event).is_of_a_saga
    )
    return {id_: [each.envelope for each in found] for id_, found in by_order(events).items()}


@cache
def runs() -> list[tuple[GoldenRun, dict[str, list[Envelope]]]]:
    """Of every golden log, each with the events of its orders."""
    found = (run for name in golden_log.names() for run in golden_log.runs_of(name))
    return [(run, orders_of(run)) for run in found]


def all_orders() -> Iterator[tuple[str, list[Envelope]]]:
    return (item for _, orders in runs() for item in orders.items())


def test_each_service_is_where_it_had_stored_that_it_was() -> None:
    wrong = []
    for run, orders in runs():
        for id_, events in orders.items():
            order = folded(id_, events)
            for service in flow.NAMES:
                stored, _ = run.stored[service].get(("own", id_), (flow.ABSENT, {}))
                known = order.reached.get(service)
                if (known.state if known else flow.ABSENT) != stored:
                    wrong.append((id_, service, stored, known))
        assert len(orders) > 100
    assert wrong == []


def test_the_order_in_which_events_come_and_how_often_changes_nothing() -> None:
    random = Random(7)  # noqa: S311 - the same in each run
    for id_, events in all_orders():
        mixed = [*events, *random.choices(events, k=3)]
        random.shuffle(mixed)
        again = FoldedOrder(id_)
        for envelope in mixed:
            again.add(envelope)
        again.events = len(events)
        assert again == folded(id_, events)


def test_an_order_that_is_not_settled_waits_somewhere() -> None:
    """At each moment of its life, and somebody must act on it."""
    lost = []
    for id_, events in all_orders():
        order = FoldedOrder(id_)
        for envelope in events:
            order.add(envelope)
            at = order.standing()
            if at.state not in SETTLED and not at.step:
                lost.append((id_, envelope.type, {n: r.state for n, r in order.reached.items()}))
    assert lost == []


def test_a_settled_order_waits_for_nothing_but_what_comes_after_its_end() -> None:
    """Releases of before did not take dispatched stock from the shelf: there it is waited for ever."""
    later = {"shipping:DispatchDue", "shipment.dispatched>inventory"}
    for id_, events in all_orders():
        at = folded(id_, events).standing()
        assert at.state in SETTLED
        assert at.settled_at is not None
        assert set(at.edges) <= later


def test_a_cancelled_order_has_the_reason_of_what_ended_it() -> None:
    reasons = set()
    for id_, events in all_orders():
        order = folded(id_, events)
        ends = [e.event for e in events if e.type == "order.cancelled.v1"]
        if ends:
            assert order.why is not None
            assert (order.why.reason, order.why.refused_by) == (ends[0].reason, ends[0].refused_by)
            reasons.add(order.why.reason)
    assert len(reasons) > 3


def test_an_order_knows_what_it_was_placed_with() -> None:
    for id_, events in all_orders():
        placed = next(e.event.order for e in events if e.type == "order.placed.v1")
        order = folded(id_, events)
        assert (order.customer, order.placed_at) == (placed.customer_id, placed.placed_at)
        assert (order.total_minor, order.currency) == (placed.total_minor, placed.currency)


def test_ids_that_an_event_holds_are_found() -> None:
    found = {
        name
        for _, events in all_orders()
        for envelope in events
        for name in references_in(envelope.event)
    }
    assert found == {name for _, name in flow.REFERENCES}
