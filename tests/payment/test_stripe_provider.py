"""What the adapter makes of Stripe's answers, by the real package over HTTP."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from chaos.fake_stripe import API_KEY, FakeStripe, StripeFault, fake_stripe
from chassis.errors import MisconfiguredError, ProviderError, RefusedError
from chassis.service import Attempt
from payment_svc.messages import (
    Capture,
    CaptureDeclined,
    CaptureSucceeded,
    Refund,
    RefundRefused,
    RefundSucceeded,
)
from payment_svc.provider import SimulatedProvider
from payment_svc.settings import StripeSettings
from payment_svc.stripe_provider import StripeProvider
from tests.support.waiting import until_async

TIMEOUT_S: Final = 0.3
LOST: Final = StripeFault("timeout", effect=False)
LOST_AFTER: Final = StripeFault("timeout", effect=True)
BROKEN: Final = StripeFault("server_error", effect=False)
BROKEN_AFTER: Final = StripeFault("server_error", effect=True)
TIMED_OUT: Final = CaptureDeclined(order_id="o-1", reason="provider_timeout")


@pytest.fixture
def fake() -> Iterator[FakeStripe]:
    with fake_stripe(hang_s=1.0) as made:
        yield made


@pytest.fixture
async def stripe(fake: FakeStripe) -> AsyncIterator[StripeProvider]:
    async with connected(fake) as provider:
        yield provider


@asynccontextmanager
async def connected(fake: FakeStripe, key: str = API_KEY) -> AsyncIterator[StripeProvider]:
    settings = StripeSettings(api_key=key, api_base=fake.url)  # type: ignore[arg-type]  # coerced
    provider = StripeProvider.connect(settings, TIMEOUT_S)
    yield provider
    await provider.close()


def now() -> datetime:
    return datetime.now(UTC)


def a_capture(**changes: Any) -> Capture:
    capture = Capture(
        order_id="o-1",
        amount_minor=3000,
        currency="EUR",
        token="tok_visa",
        deadline=now() + timedelta(minutes=5),
    )
    return replace(capture, **changes)


def a_refund(**changes: Any) -> Refund:
    refund = Refund(order_id="o-1", amount_minor=2900, currency="EUR", provider_ref="pi_none")
    return replace(refund, **changes)


def attempt(number: int = 1, *, of: str = "capture:1", age: timedelta = timedelta()) -> Attempt:
    return Attempt(f"o-1:{of}", number, now() - age)


def refunding(number: int = 1, nth: int = 1, *, age: timedelta = timedelta()) -> Attempt:
    return attempt(number, of=f"refund:{nth}", age=age)


async def captured(stripe: StripeProvider) -> str:
    outcome = await stripe.capture(a_capture(), attempt())
    assert isinstance(outcome, CaptureSucceeded)
    return outcome.provider_ref


def charges(fake: FakeStripe) -> list[tuple[str, int, str]]:
    return [(order, *each) for order, moved in fake.books.charged.items() for each in moved]


def refunds(fake: FakeStripe) -> list[tuple[str, int, str]]:
    return [(order, *each) for order, moved in fake.books.given_back.items() for each in moved]


async def test_a_card_is_held_then_charged_once(stripe: StripeProvider, fake: FakeStripe) -> None:
    intent = await captured(stripe)
    assert charges(fake) == [("o-1", 3000, "eur")]
    assert fake.calls == [("create", "o-1:capture:1:create"), ("capture", "o-1:capture:1:capture")]
    assert fake.books.intents[intent]["metadata"] == {"order_id": "o-1", "effect": "o-1:capture:1"}


async def test_asking_again_charges_no_second_time(
    stripe: StripeProvider, fake: FakeStripe
) -> None:
    first = await stripe.capture(a_capture(), attempt())
    assert await stripe.capture(a_capture(), attempt(2)) == first
    assert len(charges(fake)) == 1


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("tok_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("tok_declined", "card_declined"),
        ("tok_chargeDeclinedExpiredCard", "expired_card"),
        ("tok_nosuch", "invalid_card"),
        ("tok_threeDSecure2Required", "authentication_required"),
    ],
)
async def test_a_card_that_can_not_pay_is_declined_with_the_reason_each_time_it_is_asked(
    stripe: StripeProvider, fake: FakeStripe, token: str, reason: str
) -> None:
    for number in (1, 2):
        outcome = await stripe.capture(a_capture(token=token), attempt(number))
        assert outcome == CaptureDeclined(order_id="o-1", reason=reason)
    assert charges(fake) == []


async def test_a_payment_method_is_taken_as_it_is(stripe: StripeProvider, fake: FakeStripe) -> None:
    await stripe.capture(a_capture(token="pm_card_visa"), attempt())
    assert [i["token"] for i in fake.books.intents.values()] == ["pm_card_visa"]


async def test_history_the_deadline_nobody_is_asked(
    stripe: StripeProvider, fake: FakeStripe
) -> None:
    assert await stripe.capture(a_capture(deadline=now()), attempt()) == TIMED_OUT
    assert fake.calls == []


async def test_a_hold_whose_deadline_has_passed_is_let_go(
    stripe: StripeProvider, fake: FakeStripe
) -> None:
    fake.script = {"capture": [LOST]}
    with pytest.raises(ProviderError):
        await stripe.capture(a_capture(), attempt())
    assert await stripe.capture(a_capture(deadline=now()), attempt(2)) == TIMED_OUT
    assert [i["status"] for i in fake.books.intents.values()] == ["canceled"]
    assert await stripe.capture(a_capture(deadline=now()), attempt(3)) == TIMED_OUT
    assert charges(fake) == []


async def test_a_charge_that_is_found_after_the_deadline_is_a_success(
    stripe: StripeProvider, fake: FakeStripe
) -> None:
    fake.script = {"capture": [StripeFault("reset", effect=True)]}
    with pytest.raises(ProviderError):
        await stripe.capture(a_capture(), attempt())
    outcome = await stripe.capture(a_capture(deadline=now()), attempt(2))
    assert isinstance(outcome, CaptureSucceeded)
    assert len(charges(fake)) == 1


async def test_a_call_that_is_in_flight_still_is_unknown(
    stripe: StripeProvider, fake: FakeStripe
) -> None:
    fake.script = {"create": [LOST_AFTER]}
    with pytest.raises(ProviderError, match="APIConnectionError"):
        await stripe.capture(a_capture(), attempt())
    with pytest.raises(ProviderError, match="idempotency_key_in_use"):
        await stripe.capture(a_capture(), attempt(2))


@pytest.mark.parametrize("step", ["create", "capture"])
@pytest.mark.parametrize("fault", [BROKEN, BROKEN_AFTER], ids=["no effect", "effect"])
async def test_a_failure_that_the_key_keeps_is_looked_behind(
    stripe: StripeProvider, fake: FakeStripe, step: Any, fault: StripeFault
) -> None:
    """Found, it goes on; not found, the next key is taken, in the same run."""
    fake.script = {step: [fault]}
    with pytest.raises(ProviderError, match="500"):
        await stripe.capture(a_capture(), attempt())
    assert isinstance(await stripe.capture(a_capture(), attempt(2)), CaptureSucceeded)
    assert charges(fake) == [("o-1", 3000, "eur")]
    assert len(fake.books.intents) == 1
    keys = [key for called, key in fake.calls if called == step]
    assert f"o-1:capture:1:{step}:2" in keys or fault.effect


async def test_many_kept_failures_are_passed_in_one_run(
    stripe: StripeProvider, fake: FakeStripe
) -> None:
    fake.script = {"create": [BROKEN] * 4}
    for number in range(1, 5):
        with pytest.raises(ProviderError, match="500"):
            await stripe.capture(a_capture(), attempt(number))
    assert isinstance(await stripe.capture(a_capture(), attempt(5)), CaptureSucceeded)
    assert [key for step, key in fake.calls[-6:] if step == "create"] == [
        "o-1:capture:1:create", "o-1:capture:1:create:2", "o-1:capture:1:create:3",
        "o-1:capture:1:create:4", "o-1:capture:1:create:5",
    ]  # fmt: skip


async def test_a_kept_failure_without_effect_past_the_deadline_is_the_end(
    stripe: StripeProvider, fake: FakeStripe
) -> None:
    fake.script = {"create": [BROKEN]}
    with pytest.raises(ProviderError):
        await stripe.capture(a_capture(), attempt())
    assert await stripe.capture(a_capture(deadline=now()), attempt(2)) == TIMED_OUT
    assert fake.books.intents == {}


async def test_the_list_is_searched_to_its_end(stripe: StripeProvider, fake: FakeStripe) -> None:
    fake.script = {"create": [BROKEN_AFTER]}
    with pytest.raises(ProviderError):
        await stripe.capture(a_capture(), attempt())
    for number in range(150):
        other = Attempt(f"o-{number + 2}:capture:1", 1, now())
        await stripe.capture(a_capture(order_id=f"o-{number + 2}"), other)
    assert isinstance(await stripe.capture(a_capture(), attempt(2)), CaptureSucceeded)
    assert [c for c in charges(fake) if c[0] == "o-1"] == [("o-1", 3000, "eur")]


@pytest.mark.parametrize("hours", [23.5, 24.5, 72])
async def test_an_old_effect_creates_nothing_and_goes_on_with_what_is_found(
    stripe: StripeProvider, fake: FakeStripe, hours: float
) -> None:
    fake.script = {"capture": [LOST]}
    with pytest.raises(ProviderError):
        await stripe.capture(a_capture(), attempt())
    fake.pass_time(hours * 3600)
    old = attempt(9, age=timedelta(hours=hours))
    assert isinstance(await stripe.capture(a_capture(), old), CaptureSucceeded)
    assert await stripe.capture(a_capture(), old) == await stripe.capture(a_capture(), old)
    assert charges(fake) == [("o-1", 3000, "eur")]
    assert len(fake.books.intents) == 1


async def test_an_old_effect_that_is_not_found_is_declined_when_a_search_would_show_it(
    stripe: StripeProvider, fake: FakeStripe
) -> None:
    with pytest.raises(ProviderError, match="can't be found yet"):
        await stripe.capture(a_capture(), attempt(9, age=timedelta(hours=23.5)))
    assert await stripe.capture(a_capture(), attempt(9, age=timedelta(hours=24.1))) == TIMED_OUT
    assert fake.calls == []


async def test_a_key_that_came_with_another_body_is_no_decline(
    stripe: StripeProvider, fake: FakeStripe
) -> None:
    await stripe.capture(a_capture(), attempt())
    with pytest.raises(ProviderError, match="IdempotencyError"):
        await stripe.capture(a_capture(amount_minor=1), attempt(2))
    assert len(charges(fake)) == 1


async def test_a_wrong_key_concerns_every_call(fake: FakeStripe) -> None:
    async with connected(fake, "sk_test_wrong") as stripe:
        with pytest.raises(MisconfiguredError):
            await stripe.capture(a_capture(), attempt())
        with pytest.raises(MisconfiguredError):
            await stripe.refund(a_refund(), refunding())


async def test_who_is_too_fast_is_told_how_long_to_wait(
    stripe: StripeProvider, fake: FakeStripe
) -> None:
    fake.script = {"create": [StripeFault("rate_limit", effect=False)]}
    with pytest.raises(ProviderError) as caught:
        await stripe.capture(a_capture(), attempt())
    assert caught.value.retry_after_s == 1.0
    assert isinstance(await stripe.capture(a_capture(), attempt(2)), CaptureSucceeded)


async def test_a_part_is_given_back_once(stripe: StripeProvider, fake: FakeStripe) -> None:
    effect = a_refund(provider_ref=await captured(stripe))
    for number in (1, 2, 3):
        done = await stripe.refund(effect, refunding(number))
        assert done == RefundSucceeded(order_id="o-1")
    assert refunds(fake) == [("o-1", 2900, "eur")]


@pytest.mark.parametrize("age_h", [0, 25, 24 * 40])
@pytest.mark.parametrize("fault", [LOST_AFTER, LOST, BROKEN_AFTER, BROKEN], ids=repr)
async def test_a_refund_is_never_made_twice_however_late_it_is_asked_for_again(
    stripe: StripeProvider, fake: FakeStripe, fault: StripeFault, age_h: int
) -> None:
    effect = a_refund(provider_ref=await captured(stripe))
    fake.script = {"refund": [fault]}
    with pytest.raises(ProviderError):
        await stripe.refund(effect, refunding())
    await in_flight_no_more(fake)
    fake.pass_time(age_h * 3600)
    done = await stripe.refund(effect, refunding(2, age=timedelta(hours=age_h)))
    assert done == RefundSucceeded(order_id="o-1")
    assert refunds(fake) == [("o-1", 2900, "eur")]


async def in_flight_no_more(fake: FakeStripe) -> None:
    await until_async(lambda: not fake.in_flight, 5, "the end of the call")


async def test_a_refund_on_its_way_is_looked_at_again_later(
    stripe: StripeProvider, fake: FakeStripe
) -> None:
    effect = a_refund(provider_ref=await captured(stripe))
    fake.books.refund_ends = ["pending"]
    for number in (1, 2):
        with pytest.raises(ProviderError, match="pending") as caught:
            await stripe.refund(effect, refunding(number))
        assert caught.value.retry_after_s == 30.0
    (refund,) = fake.books.refunds
    fake.books.end_refund(refund, "succeeded")
    assert await stripe.refund(effect, refunding(3)) == RefundSucceeded(order_id="o-1")
    assert len(fake.books.refunds) == 1


async def test_a_refund_that_the_bank_refuses_is_refused_and_a_new_one_may_succeed(
    stripe: StripeProvider, fake: FakeStripe
) -> None:
    effect = a_refund(provider_ref=await captured(stripe))
    fake.books.refund_ends = ["failed"]
    refused = RefundRefused(order_id="o-1", reason="expired_or_canceled_card")
    for number in (1, 2):
        assert await stripe.refund(effect, refunding(number)) == refused
    again = replace(effect, attempt=2)
    assert await stripe.refund(again, refunding(nth=2)) == RefundSucceeded(order_id="o-1")
    assert refunds(fake) == [("o-1", 2900, "eur")]


async def test_a_new_refund_finds_that_the_refused_one_went_through_after_all(
    stripe: StripeProvider, fake: FakeStripe
) -> None:
    effect = a_refund(provider_ref=await captured(stripe))
    await stripe.refund(effect, refunding())
    again = replace(effect, attempt=2)
    assert await stripe.refund(again, refunding(nth=2)) == RefundSucceeded(order_id="o-1")
    assert refunds(fake) == [("o-1", 2900, "eur")]


async def test_what_a_person_gave_back_by_hand_counts_if_it_is_all_of_it(
    stripe: StripeProvider, fake: FakeStripe
) -> None:
    intent = await captured(stripe)
    fake.books.create_refund({"payment_intent": intent, "amount": "3000"})
    done = await stripe.refund(a_refund(provider_ref=intent), refunding())
    assert done == RefundSucceeded(order_id="o-1")
    assert len(fake.books.refunds) == 1


async def test_more_than_was_captured_is_never_given_back(
    stripe: StripeProvider, fake: FakeStripe
) -> None:
    effect = a_refund(provider_ref=await captured(stripe), amount_minor=3001)
    with pytest.raises(ProviderError, match="amount_too_large"):
        await stripe.refund(effect, refunding())
    assert refunds(fake) == []


async def test_an_amount_between_the_currencys_steps_is_declined(
    stripe: StripeProvider, fake: FakeStripe
) -> None:
    wrong = a_capture(amount_minor=46_775, currency="ISK")
    outcome = await stripe.capture(wrong, attempt())
    assert outcome == CaptureDeclined(order_id="o-1", reason="parameter_invalid_integer")
    assert charges(fake) == []


async def test_a_refund_that_is_invalid_is_refused_as_it_stands(
    stripe: StripeProvider, fake: FakeStripe
) -> None:
    outcome = await stripe.capture(a_capture(amount_minor=50_000, currency="ISK"), attempt())
    assert isinstance(outcome, CaptureSucceeded)
    paid = a_refund(currency="ISK", provider_ref=outcome.provider_ref)
    for wrong in (
        replace(paid, amount_minor=46_775),
        replace(paid, amount_minor=50_100),
        replace(paid, provider_ref="pi_none"),
    ):
        with pytest.raises(RefusedError, match="InvalidRequestError 40"):
            await stripe.refund(wrong, refunding())
    assert refunds(fake) == []
    right = replace(paid, amount_minor=46_700)
    assert await stripe.refund(right, refunding(2)) == RefundSucceeded(order_id="o-1")


async def test_the_simulated_provider_takes_steps_only_as_well() -> None:
    provider = SimulatedProvider()
    wrong = a_capture(amount_minor=46_775, currency="ISK")
    declined = CaptureDeclined(order_id="o-1", reason="invalid_amount")
    assert await provider.capture(wrong, attempt()) == declined
    with pytest.raises(RefusedError):
        await provider.refund(a_refund(amount_minor=46_775, currency="ISK"), refunding())
