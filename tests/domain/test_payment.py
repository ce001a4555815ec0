"""The rules of a payment."""

from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from hypothesis import given as given_any
from hypothesis.strategies import builds, integers, sampled_from
from pydantic import TypeAdapter

from chassis.decision import Later
from payment_svc.domain import Captured, Policy, decide
from payment_svc.messages import (
    NEVER,
    Capture,
    Refund,
)
from payment_svc.service import SERVICE
from shared_events import money
from shared_events.payment import PaymentCaptured, PaymentRefundRequested
from tests.domain.builders import (
    IN_TIME,
    TOO_LATE,
    an_order,
    cancellation_requested,
    capture_requested,
    captured,
    declined,
    refund_refused,
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
    REFUND_REFUSED,
    REFUND_SUCCEEDED,
    REFUNDED,
    REFUNDING,
    REFUSED,
    SAMPLES,
    SUCCEEDED,
)
from tests.domain.support import folded, given


def give_back(amount: int, attempt: int = 1) -> Refund:
    return Refund(
        order_id="o-1",
        amount_minor=amount,
        currency="EUR",
        provider_ref="ch-1",
        attempt=attempt,
    )


def test_reserved_stock_asks_for_the_money_and_records_the_intent_first() -> None:
    given(SERVICE).when(reserved()).then(capture_requested(), effects=(CHARGE,))


def test_an_order_that_costs_nothing_is_paid_without_asking_anybody() -> None:
    given(SERVICE).when(reserved(total_minor=0)).then(
        capture_requested(total_minor=0),
        PaymentCaptured(order=an_order(total_minor=0), captured_minor=0, provider_ref="nothing"),
    )


def test_reserved_stock_past_the_deadline_is_declined_without_a_charge() -> None:
    given(SERVICE).when(reserved(), at=TOO_LATE).then(declined("deadline_exceeded"))


def test_the_deadline_itself_is_in_time() -> None:
    given(SERVICE).when(reserved(), at=an_order().deadline).then(
        capture_requested(), effects=(CHARGE,)
    )


def test_an_order_cancelled_before_it_was_seen_is_declined_without_a_charge() -> None:
    given(SERVICE, NOTED).when(reserved()).then(declined("cancelled"))


def test_money_is_asked_for_once() -> None:
    for history in (CAPTURING, CAPTURED, DECLINED, REFUNDING, REFUSED, REFUNDED):
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


def test_a_failure_of_our_own_is_refunded_in_full_in_the_name_of_who_refused() -> None:
    for fee in (0, 100):
        cancelled = shipment_cancelled("customer_suspended", "loyalty", fee=fee)
        given(SERVICE, *CAPTURED).when(cancelled).then(
            refund_requested("customer_suspended", "loyalty"), effects=(give_back(3000),)
        )


def test_a_customer_who_changed_their_mind_pays_what_the_provider_keeps() -> None:
    given(SERVICE, *CAPTURED).when(shipment_cancelled()).then(
        refund_requested(provider=67), effects=(give_back(2933),)
    )


def test_a_customer_who_changed_their_mind_pays_for_restocking_too() -> None:
    given(SERVICE, *CAPTURED).when(shipment_cancelled(fee=100)).then(
        refund_requested(fee=100, provider=67), effects=(give_back(2833),)
    )


def test_fees_never_exceed_what_was_captured_and_nobody_is_asked_for_nothing() -> None:
    for fee, provider in ((2950, 50), (3000, 0), (9000, 0)):
        restocking = min(fee, 3000)
        given(SERVICE, *CAPTURED).when(shipment_cancelled(fee=fee)).then(
            refund_requested(fee=restocking, provider=provider),
            refunded(fee=restocking, provider=provider, settled_by="fees"),
        )


@pytest.mark.parametrize(
    ("policy", "captured_minor", "fee_minor"),
    [
        (Policy(), 3000, 67),
        (Policy(), 1, 25),
        (Policy(), 9_999_999, 140_025),
        (Policy(provider_fee_bps=150, provider_fee_fixed_minor=0), 30, 0),
        (Policy(provider_fee_bps=150, provider_fee_fixed_minor=0), 34, 1),
        (Policy(provider_fee_bps=0, provider_fee_fixed_minor=0), 3000, 0),
    ],
)
def test_the_provider_keeps_a_share_and_a_fixed_part(
    policy: Policy, captured_minor: int, fee_minor: int
) -> None:
    assert policy.provider_fee_minor(captured_minor, "EUR") == fee_minor


@pytest.mark.parametrize(
    ("currency", "captured_minor", "fee_minor"),
    [
        ("JPY", 5_000, 70),
        ("ISK", 50_000, 700),
        ("ISK", 5_000_000, 70_000),
        ("UGX", 200_000, 2_800),
        ("KWD", 10_000, 390),
        ("KWD", 10_250, 390),
        ("CHF", 5_000, 130),
    ],
)
def test_the_fixed_part_and_the_steps_are_the_currencys(
    currency: str, captured_minor: int, fee_minor: int
) -> None:
    policy = Policy(provider_fee_fixed={"CHF": 60})
    assert policy.provider_fee_minor(captured_minor, currency) == fee_minor


def test_a_cancelled_order_in_a_currency_with_steps_is_refunded_in_steps() -> None:
    """50,000 ISK as the provider counts them, less 5 % and the provider's share."""
    state = Captured(captured_minor=50_000, currency="ISK", provider_ref="ch-1")
    (requested,) = decide(state, shipment_cancelled(fee=2_550), TOO_LATE).events
    assert isinstance(requested, PaymentRefundRequested)
    fees = (requested.restocking_fee_minor, requested.provider_fee_minor)
    assert (requested.refund_minor, *fees) == (46_800, 2_500, 700)


def test_another_policy_makes_another_fee() -> None:
    free = Policy(provider_fee_bps=0, provider_fee_fixed_minor=0)
    service = replace(SERVICE, decide=partial(decide, policy=free))
    given(service, *CAPTURED).when(shipment_cancelled()).then(
        refund_requested(provider=0), effects=(give_back(3000),)
    )


@given_any(
    steps=integers(1, 10**7),
    currency=sampled_from(["EUR", "JPY", "ISK", "UGX", "KWD", "OMR"]),
    restocking=integers(0, 10**9),
    reason=sampled_from(["customer", "deadline", "customer_suspended"]),
    policy=builds(
        Policy,
        provider_fee_bps=integers(0, 10_000),
        provider_fee_fixed_minor=integers(0, 10**6),
    ),
)
def test_what_was_captured_is_what_is_refunded_and_kept(
    steps: int, currency: str, restocking: int, reason: str, policy: Policy
) -> None:
    captured_minor = steps * money.step(currency)
    state = Captured(captured_minor=captured_minor, currency=currency, provider_ref="ch-1")
    cancelled = shipment_cancelled(reason, fee=restocking)
    events = decide(state, cancelled, TOO_LATE, policy).events
    requested = events[0]
    assert isinstance(requested, PaymentRefundRequested)
    assert requested.refund_minor + requested.fee_minor == captured_minor
    assert requested.fee_minor == requested.restocking_fee_minor + requested.provider_fee_minor
    assert min(requested.refund_minor, requested.fee_minor) >= 0
    for amount in (requested.refund_minor, requested.provider_fee_minor):
        assert money.is_payable(amount, currency)
    assert (len(events) == 2) == (requested.refund_minor == 0)


def test_money_is_given_back_once() -> None:
    for history in (REFUNDING, REFUSED, REFUNDED):
        given(SERVICE, *history).when(shipment_rejected()).then_nothing()
        given(SERVICE, *history).when(shipment_cancelled()).then_nothing()


def test_a_shipment_undone_without_a_capture_is_impossible() -> None:
    for history in ((), (NOTED,), CAPTURING, DECLINED):
        given(SERVICE, *history).when(shipment_rejected()).then_impossible()
        given(SERVICE, *history).when(shipment_cancelled()).then_impossible()


def test_a_refund_that_succeeds_is_published_with_the_first_reason_and_fees() -> None:
    history = (*CAPTURED, refund_requested("customer", "order", fee=100))
    given(SERVICE, *history).when(REFUND_SUCCEEDED).then(refunded(fee=100))


def test_a_refund_that_a_person_vouches_for_says_so() -> None:
    resolved = SERVICE.resolutions["refunded"].made("o-1", "")
    given(SERVICE, *REFUNDING).when(resolved).then(refunded(settled_by="operator"))


def test_a_refund_is_noted_once() -> None:
    given(SERVICE, *REFUNDED).when(REFUND_SUCCEEDED).then_nothing()


def test_a_refund_nobody_asked_for_is_impossible() -> None:
    for history in ((), (NOTED,), CAPTURING, CAPTURED, DECLINED):
        given(SERVICE, *history).when(REFUND_SUCCEEDED).then_impossible()
        given(SERVICE, *history).when(REFUND_REFUSED).then_impossible()


def test_a_refused_refund_is_owed_still_and_asked_for_again_as_a_new_one() -> None:
    again = Later(IN_TIME + timedelta(minutes=1), give_back(2933, attempt=2))
    given(SERVICE, *REFUNDING).when(REFUND_REFUSED).then(refund_refused(), effects=(again,))


@pytest.mark.parametrize(
    ("refusals", "minutes"), [(1, 2), (2, 4), (5, 32), (6, 60), (7, 60), (40, 60)]
)
def test_a_refund_refused_again_waits_twice_as_long_up_to_an_hour(
    refusals: int, minutes: int
) -> None:
    history = (*REFUNDING, *(refund_refused(n) for n in range(1, refusals + 1)))
    again = give_back(2933, attempt=refusals + 2)
    given(SERVICE, *history).when(REFUND_REFUSED).then(
        refund_refused(refusals + 1),
        effects=(Later(IN_TIME + timedelta(minutes=minutes), again),),
    )


def test_refusals_are_counted_and_the_last_reason_is_known() -> None:
    state = folded(SERVICE, (*REFUSED, refund_refused(2, "lost_or_stolen_card")))
    assert (state.refusals, state.last_refusal) == (2, "lost_or_stolen_card")


def test_a_refund_that_was_refused_before_may_succeed() -> None:
    given(SERVICE, *REFUSED).when(REFUND_SUCCEEDED).then(refunded())


def test_a_refusal_after_the_refund_changes_nothing() -> None:
    given(SERVICE, *REFUNDED).when(REFUND_REFUSED).then_nothing()


def test_a_person_may_say_what_became_of_a_charge() -> None:
    took = SERVICE.resolutions["captured"].made("o-1", "ch-1")
    given(SERVICE, *CAPTURING).when(took).then(captured())
    took_not = SERVICE.resolutions["declined"].made("o-1", "")
    given(SERVICE, *CAPTURING).when(took_not).then(declined("resolved_declined"))


def test_a_charge_owed_since_before_it_had_a_deadline_has_none() -> None:
    outstanding_effects = (
        b'{"order_id":"o-1","amount_minor":3000,"currency":"EUR","token":"tok_ok","attempt":1}'
    )
    assert TypeAdapter(Capture).validate_json(outstanding_effects) == replace(
        CHARGE, deadline=NEVER, token="tok_ok"
    )


def test_a_cancellation_before_the_stock_is_noted() -> None:
    given(SERVICE).when(cancellation_requested()).then(NOTED)


def test_a_cancellation_later_is_left_to_downstream() -> None:
    for history in filter(None, SAMPLES.histories.values()):
        given(SERVICE, *history).when(cancellation_requested()).then_nothing()
