"""State from the log alone, without a server: what loyalty rebuilds its Redis from."""

from datetime import UTC, datetime
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis import ids
from chassis.events import Envelope, event_id
from chassis.message import Message, VersionedState
from chassis.replay import Folded, InTurn, fold
from loyalty_svc.domain import Awarded, Customer, Deducted, Noted, Rejected
from loyalty_svc.messages import SetStanding
from loyalty_svc.service import SERVICE
from shared_events.catalog import CATALOG
from shared_events.codec import decode
from shared_events.loyalty import (
    CustomerReinstated,
    CustomerSuspended,
    PointsAwarded,
    PointsCancellationNoted,
    PointsDeducted,
    PointsRejected,
)
from shared_events.order import OrderCancellationRequested
from shared_events.shipping import ShipmentCancellationRefused, ShipmentCreated
from tests.domain.builders import an_order
from tests.support.deciding import Decider
from tests.support.records import TRACE

AT: Final = datetime(2026, 1, 1, 12, 0, 1, tzinfo=UTC)


def published(event: Any, sequence: int, cause: str = "cause") -> Envelope:
    entry = CATALOG.entry_of(event)
    subject, attempt = entry.subject_of(event), getattr(event, "attempt", 1)
    return Envelope(
        id=event_id(subject, entry.wire_type, attempt),
        type=entry.wire_type,
        source="/loyalty",
        subject=subject,
        time=AT,
        sequence=sequence,
        saga_id=subject,
        causation_id=cause,
        traceparent="",
        event=event,
    )


def as_message(body: Any) -> Message:
    """An input as a message; the same event has the same id, a command a new one."""
    if isinstance(body, SetStanding):
        return Message(
            id=ids.derived_id(ids.new_id()), key=body.customer_id, body=body, at=AT, traceparent=""
        )
    entry = CATALOG.entry_of(body)
    subject = entry.subject_of(body)
    return Message(
        id=event_id(subject, entry.wire_type, 1), key=subject, body=body, at=AT, traceparent=TRACE
    )


def awarded(order: str, customer: str, points: int, attempt: int = 1) -> PointsAwarded:
    return PointsAwarded(order_id=order, customer_id=customer, points=points, attempt=attempt)


def deducted(order: str, customer: str, points: int) -> PointsDeducted:
    return PointsDeducted(order_id=order, customer_id=customer, points=points, reason="customer")


LOG: Final = [
    published(awarded("o-1", "ann", 30), 1, "a"),
    published(CustomerSuspended(customer_id="bob"), 1),
    published(awarded("o-2", "ann", 12), 1, "b"),
    published(deducted("o-1", "ann", 30), 2, "c"),
    published(PointsRejected(order_id="o-3", reason="customer_suspended"), 1, "d"),
    published(PointsCancellationNoted(order_id="o-4", reason="customer"), 1, "e"),
    published(awarded("o-1", "ann", 30, attempt=2), 3, "f"),
    published(CustomerSuspended(customer_id="ann"), 1),
    published(CustomerReinstated(customer_id="ann", attempt=2), 2),
]


def test_states_points_standing_versions_and_causes_come_from_the_log() -> None:
    folded = fold(SERVICE, LOG, Folded())
    assert {key: (row.state, row.version) for key, row in folded.own.items()} == {
        "o-1": (Awarded(customer_id="ann", points=30, attempt=2), 3),
        "o-2": (Awarded(customer_id="ann", points=12, attempt=1), 1),
        "o-3": (Rejected(reason="customer_suspended"), 1),
        "o-4": (Noted(), 1),
    }
    assert folded.shared == {
        "ann": Customer(points=42, suspended=False, changes=2),
        "bob": Customer(points=0, suspended=True, changes=1),
    }
    assert folded.causes == {"o-1": {"a", "c", "f"}, "o-2": {"b"}, "o-3": {"d"}, "o-4": {"e"}}


def test_a_publish_that_was_repeated_counts_once() -> None:
    once = fold(SERVICE, LOG, Folded())
    twice = fold(SERVICE, [*LOG[:4], *LOG[2:], *LOG], Folded())
    assert (twice.shared, twice.causes) == (once.shared, once.causes)
    assert twice.own.keys() == once.own.keys()
    assert all(twice.own[k].state == once.own[k].state for k in once.own)


def test_a_log_may_be_folded_in_parts() -> None:
    complete = fold(SERVICE, LOG, Folded())
    parts = Folded()
    for envelope in LOG:
        fold(SERVICE, [envelope], parts)
    assert (parts.shared, parts.causes) == (complete.shared, complete.causes)


def test_an_event_of_somebody_else_is_not_folded() -> None:
    foreign = published(OrderCancellationRequested(order_id="o-1", reason="customer"), 1)
    with pytest.raises(ValueError, match="loyalty does not publish"):
        fold(SERVICE, [foreign], Folded())


def test_an_empty_log_is_an_empty_state() -> None:
    assert fold(SERVICE, [], Folded()) == Folded()


INPUTS: Final = st.lists(
    st.one_of(
        st.builds(
            lambda n, who: ShipmentCreated(
                order=an_order(order_id=f"o-{n}", customer_id=who), shipment_id=f"S-{n}"
            ),
            st.integers(1, 4),
            st.sampled_from(["ann", "bob"]),
        ),
        st.builds(
            lambda n: OrderCancellationRequested(order_id=f"o-{n}", reason="customer"),
            st.integers(1, 4),
        ),
        st.builds(
            lambda n: ShipmentCancellationRefused(order_id=f"o-{n}", reason="dispatched"),
            st.integers(1, 4),
        ),
        st.builds(
            lambda who, suspended: SetStanding(customer_id=who, suspended=suspended),
            st.sampled_from(["ann", "bob"]),
            st.booleans(),
        ),
    ),
    max_size=25,
)


@given(INPUTS)
def test_the_fold_of_what_was_published_is_the_state_that_was_decided(inputs: list[Any]) -> None:
    """And all inputs, read again from the start, lead to nothing, marked or not."""
    nobody = {who: Customer() for who in ("ann", "bob")}
    live, log = Decider(SERVICE, shared=dict(nobody)), list[Envelope]()
    consumed: list[Message] = []
    for message in map(as_message, inputs):
        if message.id not in [m.id for m in consumed] and _may_come(live.own, message):
            consumed.append(message)
            log += [decode(row.value, row.headers) for row in live.decide(message).outbox]
    folded = fold(SERVICE, log, Folded())
    kept = {k: (row.state, row.version) for k, row in live.own.items() if row.version}
    assert {k: (row.state, row.version) for k, row in folded.own.items()} == kept
    assert nobody | folded.shared == live.shared
    rebuilt = Decider(SERVICE, folded.own, nobody | folded.shared)
    again = [m for m in consumed if str(m.id) not in folded.causes.get(m.key, set())]
    events = [m for m in again if not isinstance(m.body, SetStanding)]  # commands are in no topic
    assert rebuilt.decide(*events).outbox == []


def _may_come(own: dict[str, VersionedState], message: Message) -> bool:
    """Shipping refuses to cancel only what was deducted."""
    row = own.get(message.key)
    refused = isinstance(message.body, ShipmentCancellationRefused)
    return not refused or (row is not None and isinstance(row.state, Deducted))


def test_a_deduction_is_folded_even_where_the_award_stands_in_an_earlier_part() -> None:
    folded = fold(SERVICE, [LOG[0]], Folded())
    fold(SERVICE, [LOG[3]], folded)
    assert folded.own["o-1"].state == Deducted(customer_id="ann", points=30, attempt=1)
    assert folded.shared["ann"] == Customer()


def test_an_event_that_stands_before_earlier_ones_of_its_order_waits_for_its_turn() -> None:
    """As where the earlier ones were put back behind it; those that are sent again count once."""
    put_back = [LOG[3], *LOG, LOG[3]]
    turns = InTurn()
    assert fold(SERVICE, turns.take(put_back), Folded()).own == fold(SERVICE, LOG, Folded()).own
    assert turns.ahead == {}


def test_an_event_whose_predecessor_is_nowhere_is_told() -> None:
    turns = InTurn()
    assert list(turns.take(LOG[1:])) == [e for e in LOG if e.subject != "o-1"]
    assert list(turns.ahead) == ["o-1"]
