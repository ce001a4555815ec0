"""Who must act on an order, told from five states: situations made by hand, expectations too."""

from dataclasses import replace
from typing import Any

import pytest

from guarantees.diagnosis import for_other_stacks
from guarantees.protocol import STEPS
from guarantees.services import BY_NAME
from guarantees.whereabouts import ActionReport, ConsumerReport, OrderReport, RelayReport, merged
from tests.cli.situations import (
    OPEN,
    ORDER,
    a_letter,
    an_effect,
    capturing,
    diagnosed,
    first,
    reading,
    sent_late,
    silent,
)

States = dict[str, str]
CONFIRMED: States = {step.service: min(step.confirmed) for step in STEPS}


def chain(text: str) -> States:
    return dict(zip(CONFIRMED, text.split(), strict=True))


ON_THE_WAY = [
    ("Pending Absent Absent Absent Absent", "inventory", "order.placed.v1"),
    ("Pending Reserved Absent Absent Absent", "payment", "stock.reserved.v1"),
    ("Pending Reserved Captured Absent Absent", "shipping", "payment.captured.v1"),
    ("Pending Reserved Captured Created Absent", "loyalty", "shipment.created.v1"),
    ("Pending Reserved Captured Created Awarded", "order", "points.awarded.v1"),
    ("Pending Rejected Absent Absent Absent", "order", "stock.rejected.v1"),
    ("Pending Reserved Declined Absent Absent", "inventory", "payment.declined.v1"),
    ("Pending Reserved Captured Rejected Absent", "payment", "shipment.rejected.v1"),
    ("Pending Reserved Captured Created Rejected", "shipping", "points.rejected.v1"),
    ("Pending Reserved Captured Cancelled Rejected", "payment", "shipment.cancelled.v1"),
    ("Pending Reserved Refunded Cancelled Rejected", "inventory", "payment.refunded.v1"),
    ("Pending Released Refunded Cancelled Rejected", "order", "stock.released.v1"),
    ("Cancelling Noted Noted Noted Noted", "inventory", "order.placed.v1"),
    ("Cancelling Reserved Noted Noted Noted", "payment", "stock.reserved.v1"),
    ("Cancelling Reserved Captured Noted Noted", "shipping", "payment.captured.v1"),
    ("Cancelling Reserved Captured Created Noted", "loyalty", "shipment.created.v1"),
    (
        "Cancelling Committed Captured Approved Awarded",
        "loyalty",
        "order.cancellation_requested.v1",
    ),
    ("Cancelling Committed Captured Approved Deducted", "shipping", "points.deducted.v1"),
    ("Cancelling Committed Captured Cancelled Deducted", "payment", "shipment.cancelled.v1"),
    ("Cancelling Committed Refunded Cancelled Deducted", "inventory", "payment.refunded.v1"),
    ("Cancelling Released Refunded Cancelled Deducted", "order", "stock.released.v1"),
    ("Cancelling Rejected Noted Noted Noted", "order", "stock.rejected.v1"),
]


@pytest.mark.parametrize(("states", "who", "event"), ON_THE_WAY, ids=[x[0] for x in ON_THE_WAY])
def test_the_next_to_act_is_who_has_not_heard_its_neighbour(
    states: str, who: str, event: str
) -> None:
    found = diagnosed(**chain(states))
    assert (first(found).service, first(found).where) == (who, "kafka")
    assert first(found).what.startswith(event)
    assert len(found.findings) == 1
    assert not found.settled
    assert found.known


@pytest.mark.parametrize("stock", ["Reserved", "Committed"])
def test_a_shipment_that_has_left_and_whose_stock_is_on_the_shelf_is_on_its_way(stock: str) -> None:
    """Of one whose confirmation is on its way too, that comes first."""
    found = diagnosed(**chain(f"Confirmed {stock} Captured Dispatched Awarded"))
    assert {f.service for f in found.findings} == {"inventory"}
    assert found.findings[-1].what.startswith("shipment.dispatched.v1")
    assert found.settled


WORKING = [
    ("Pending Reserved Capturing Absent Absent", "payment", "Capture"),
    ("Pending Reserved Captured Booking Absent", "shipping", "Book"),
    ("Cancelling Reserved Capturing Noted Noted", "payment", "Capture"),
    ("Cancelling Committed Captured Cancelling Deducted", "shipping", "CancelBooking"),
    ("Cancelling Committed Refunding Cancelled Deducted", "payment", "Refund"),
    ("Confirmed Committed Captured Dispatching Awarded", "shipping", "HandOver"),
]


@pytest.mark.parametrize(("states", "who", "kind"), WORKING, ids=[x[0] for x in WORKING])
def test_a_service_that_asks_an_outside_party_must_act_next(
    states: str, who: str, kind: str
) -> None:
    reported: dict[str, Any] = {**chain(states)}
    reported[who] = {"state": reported[who], "effects": (an_effect(kind),)}
    found = diagnosed(**reported)
    assert [(f.service, f.where) for f in found.findings] == [(who, "effect")]
    assert f"{who} has {kind} outstanding" in first(found).what
    assert "ProviderError: 500" in first(found).what
    assert first(found).wait == f"next try in 10 s; `saga expedite {ORDER}` asks now"


@pytest.mark.parametrize(
    ("loyalty", "events"),
    [
        ("Deducted", ["points.deducted.v1", "shipment.cancellation_refused.v1"]),
        ("Awarded", ["order.cancellation_requested.v1", "points.awarded.v1"]),
    ],
)
def test_a_cancellation_that_meets_a_shipment_on_its_leave_may_be_two_messages(
    loyalty: str, events: list[str]
) -> None:
    """Which of them it is, two states alone can't say."""
    found = diagnosed(**chain(f"Cancelling Shipped Captured Dispatched {loyalty}"))
    assert [finding.what.split()[0] for finding in found.findings] == events
    leaving = {"state": "Dispatching", "effects": (an_effect("HandOver"),)}
    states = chain(f"Cancelling Committed Captured Dispatching {loyalty}")
    found = diagnosed(**{**states, "shipping": leaving})
    assert [finding.where for finding in found.findings] == ["kafka", "kafka", "effect"]


@pytest.mark.parametrize(
    "states",
    [
        "Confirmed Committed Captured Approved Awarded",
        "Confirmed Shipped Captured Dispatched Awarded",
        "Cancelled Rejected Absent Absent Absent",
        "Cancelled Rejected Noted Noted Noted",
        "Cancelled Released Declined Noted Noted",
        "Cancelled Released Refunded Rejected Noted",
        "Cancelled Released Refunded Cancelled Rejected",
        "Cancelled Released Refunded Cancelled Deducted",
    ],
)
def test_a_settled_order_needs_nobody(states: str) -> None:
    found = diagnosed(**chain(states))
    assert found.settled
    assert found.findings == ()


@pytest.mark.parametrize(("service", "state"), [("inventory", "Reserved"), ("shipping", "Created")])
def test_a_confirmed_order_whose_confirmation_is_not_heard_is_settled_and_not_done(
    service: str, state: str
) -> None:
    found = diagnosed(**{**CONFIRMED, service: reading(state, lag=7)})
    assert found.settled
    assert (first(found).service, first(found).where) == (service, "kafka")
    assert (
        first(found).what
        == f"order.confirmed.v1 is in Kafka; {service} has 7 records still to read"
    )
    assert first(found).wait


def test_an_unknown_order_is_known_to_nobody() -> None:
    found = diagnosed()
    assert not found.known
    assert found.findings == ()


def test_an_order_is_unknown_although_another_service_is_down() -> None:
    assert not diagnosed(payment=silent("payment")).known


def test_whether_an_order_exists_is_open_while_the_order_service_is_down() -> None:
    found = diagnosed(order=silent("order"))
    assert found.known
    assert found.state == "?"
    assert first(found).commands == ("saga restart order",)


def test_a_message_of_an_order_that_nobody_knows_is_found_where_it_is_parked() -> None:
    letter = a_letter("payment.refunded.v1", last_error="a payment was undone")
    found = diagnosed(inventory={"parked": (letter,)})
    assert found.known
    assert (first(found).service, first(found).where) == ("inventory", "parked")


def test_a_message_in_a_fresh_outbox_needs_patience_only() -> None:
    found = diagnosed(order=sent_late("Pending", 0.3))
    assert (first(found).service, first(found).where) == ("order", "outbox")
    assert (first(found).commands, first(found).wait) == ((), "it is being published")


def test_a_message_whose_relay_fails_says_why() -> None:
    found = diagnosed(order=sent_late("Pending", 12, "RecordTooLarge()"))
    assert first(found).what == (
        "order.placed.v1 is in order's outbox for 12 s; its relay fails: RecordTooLarge()"
    )
    assert first(found).commands == ("saga logs order",)


def test_without_kafka_the_message_is_in_the_outbox_and_kafka_is_to_be_started() -> None:
    order = sent_late("Pending", 12) | {"consumer": ConsumerReport(ready=True, lag=None)}
    found = diagnosed(**dict.fromkeys(BY_NAME, reading(lag=None)) | {"order": order})
    assert first(found).where == "outbox"
    assert first(found).what.endswith("Kafka does not answer")
    assert first(found).commands[0] == "saga restart kafka"


def test_a_published_message_waits_in_kafka_while_kafka_is_away() -> None:
    states = chain("Pending Reserved Absent Absent Absent")
    found = diagnosed(**{name: reading(state, lag=None) for name, state in states.items()})
    assert (first(found).service, first(found).where) == ("payment", "kafka")
    assert first(found).commands[0] == "saga restart kafka"


def test_elsewhere_no_command_is_advised_that_acts_on_the_stack_of_this_folder() -> None:
    asked = capturing(
        tries=9, needs_attention=True, may_be_resolved_as=("declined",), last_error="500"
    )
    found = for_other_stacks(diagnosed(order="Pending", inventory="Reserved", payment=asked))
    assert first(found).commands == (
        f"saga expedite {ORDER}",
        f"saga resolve {ORDER} --as declined --note TEXT",
    )
    assert first(found).advice == ("look into the log of payment where it runs",)
    silence = for_other_stacks(diagnosed(order=silent("order")))
    assert (first(silence).commands, first(silence).advice) == (
        (),
        ("restart order where it runs",),
    )


@pytest.mark.parametrize("consumer", [reading(lag=None), reading(ready=False)])
def test_one_service_that_does_not_read_is_to_be_looked_at(consumer: dict[str, Any]) -> None:
    found = diagnosed(order="Pending", inventory="Reserved", payment=consumer)
    assert first(found).what == "stock.reserved.v1 is in Kafka; payment does not read from it"
    assert first(found).commands == ("saga logs payment", "saga restart payment")


@pytest.mark.parametrize(
    ("states", "who", "event"),
    [
        ("Pending ? Absent Absent Absent", "inventory", "order.placed.v1 of order"),
        ("Pending Reserved ? Absent Absent", "payment", "stock.reserved.v1 of inventory"),
        ("Pending Reserved Captured ? Absent", "shipping", "payment.captured.v1 of payment"),
        ("Pending Reserved Captured Created ?", "loyalty", "shipment.created.v1 of shipping"),
        ("? Reserved Captured Created Awarded", "order", "points.awarded.v1 of loyalty"),
        (
            "Cancelling Committed ? Cancelled Deducted",
            "payment",
            "shipment.cancelled.v1 of shipping",
        ),
        ("Pending ? Refunded Cancelled Rejected", "inventory", "payment.refunded.v1 of payment"),
    ],
)
def test_the_order_is_with_the_service_that_is_down(states: str, who: str, event: str) -> None:
    reported: dict[str, Any] = {**chain(states), who: silent(who)}
    found = diagnosed(**reported)
    assert [f.service for f in found.findings] == [who]
    assert f"{event} waits for it" in first(found).what
    assert first(found).commands == (f"saga restart {who}",)


def test_a_service_that_is_down_elsewhere_is_named_after_who_must_act() -> None:
    found = diagnosed(order="Pending", inventory="Reserved", shipping=silent("shipping"))
    assert [f.service for f in found.findings] == ["payment", "shipping"]
    assert "waits for it" not in found.findings[1].what


def test_a_store_that_is_away_is_what_is_to_be_started() -> None:
    found = diagnosed(
        order="Pending", inventory={"silent": "can't reach its store", "broken": "redis"}
    )
    assert first(found).commands == ("saga restart redis",)


def test_a_parked_head_of_the_next_step_comes_first_with_what_waits_behind() -> None:
    letters = (
        a_letter("stock.reserved.v1", attempts=2, last_error="KeyError: 'EUR'"),
        a_letter("order.cancellation_requested.v1", last_error="waits"),
    )
    found = diagnosed(order="Cancelling", inventory="Reserved", payment={"parked": letters})
    assert [f.where for f in found.findings] == ["parked"]
    assert first(found).what == (
        "payment parked stock.reserved.v1, tried 2 times; 1 message waiting for it: KeyError: 'EUR'"
    )
    assert first(found).commands == (
        f"saga dead-letters show payment {ORDER}",
        f"saga dead-letters redrive payment {ORDER}",
    )


def test_a_parked_message_off_the_way_comes_after_who_must_act() -> None:
    letter = a_letter("shipment.rejected.v1")
    found = diagnosed(order="Pending", inventory="Reserved", shipping={"parked": (letter,)})
    assert [(f.service, f.where) for f in found.findings] == [
        ("payment", "kafka"),
        ("shipping", "parked"),
    ]


def test_a_message_without_a_type_is_named_too() -> None:
    found = diagnosed(order="Pending", inventory={"parked": (a_letter(""),)})
    assert "inventory parked a message without a type" in first(found).what


def test_an_effect_that_needs_attention_says_how_a_person_may_end_it() -> None:
    outcomes = ("captured", "declined")
    asked = capturing(
        tries=9,
        needs_attention=True,
        may_be_resolved_as=outcomes,
        with_reference=("captured",),
    )
    found = diagnosed(order="Pending", inventory="Reserved", payment=asked)
    assert "asked 9 times" in first(found).what
    assert first(found).commands == (
        "saga logs payment",
        f"saga expedite {ORDER}",
        f"saga resolve {ORDER} --as captured --reference REF --note TEXT",
        f"saga resolve {ORDER} --as declined --note TEXT",
    )


def test_an_effect_on_its_first_try_is_being_asked() -> None:
    asked = capturing(tries=1, last_error="")
    found = diagnosed(order="Pending", inventory="Reserved", payment=asked)
    assert first(found).wait == "it is being asked"


def test_an_effect_that_is_due_long_since_has_no_worker() -> None:
    found = diagnosed(order="Pending", inventory="Reserved", payment=capturing(in_s=-60))
    assert "it was due 60 s ago and nobody asked" in first(found).what
    assert first(found).commands == ("saga logs payment",)


def test_a_later_attempt_is_told_by_its_number() -> None:
    again = an_effect("Refund", attempt=2, in_s=240, tries=0, last_error="")
    refunding = {"state": "Refunding", "effects": (again,)}
    states = chain("Cancelling Committed Refunding Cancelled Deducted")
    found = diagnosed(**{**states, "payment": refunding})
    assert "payment has Refund outstanding, attempt 2" in first(found).what
    assert first(found).wait.startswith("next try in 4 min")


def test_an_outcome_that_is_being_decided_takes_a_moment() -> None:
    found = diagnosed(order="Pending", inventory="Reserved", payment="Capturing")
    assert first(found).where == "effect"
    assert "outcome of its Capture is being decided on" in first(found).what


def test_an_effect_of_a_state_that_waits_for_none_is_found() -> None:
    shipping = {"state": "Dispatching", "effects": (an_effect("HandOver"),)}
    assert diagnosed(**{**CONFIRMED, "shipping": shipping}).settled
    shipping["state"] = "Approved"
    assert first(diagnosed(**{**CONFIRMED, "shipping": shipping})).where == "effect"


def test_a_timer_to_come_is_a_note_and_one_long_past_a_finding() -> None:
    due = {"state": "Approved", "timers": (an_effect("DispatchDue", in_s=25, tries=0),)}
    found = diagnosed(**{**CONFIRMED, "shipping": due})
    assert found.findings == ()
    assert found.notes == ("shipping's timer DispatchDue is due in 25 s",)
    late = {"state": "Pending", "timers": (an_effect("DeadlinePassed", in_s=-300, tries=0),)}
    found = diagnosed(order=late, inventory="Reserved", payment=reading(lag=1))
    assert [f.where for f in found.findings] == ["kafka", "timer"]
    assert found.findings[1].what == "order's timer DeadlinePassed is overdue by 5 min"


def test_a_discarded_message_is_why_nothing_moves() -> None:
    discard = (ActionReport("ada", "discard", "a test order"),)
    found = diagnosed(order="Pending", inventory={"actions": discard})
    assert first(found).where == "discarded"
    assert "ada discarded a message: a test order" in first(found).what
    assert first(found).commands == (f"saga dead-letters actions inventory {ORDER}",)


def test_instances_of_a_service_are_seen_as_one() -> None:
    quiet = OrderReport("payment", silent="does not answer", broken="payment")
    idle = OrderReport("payment", "Capturing", consumer=ConsumerReport(ready=False, lag=None))
    reads = ConsumerReport(ready=True, lag=3)
    busy = replace(idle, consumer=reads, relay=RelayReport("no"), circuits=(OPEN,))
    together = merged([quiet, idle, busy])
    assert together.state == "Capturing"
    assert together.consumer == reads
    assert (together.relay.failing, together.circuits) == ("no", (OPEN,))
    assert merged([quiet, quiet]).silent == "does not answer"
