"""What becomes of every answer Stripe may give to a call that took effect, or did not.

Judged by the fake's ledger: never more than one charge and one refund an order, and the payment
ends as the ledger says.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import pytest

from chaos.fake_stripe import ApiCall, FakeStripe, FaultAnswer, StripeFault, fake_stripe
from payment_svc.domain import Captured, Declined, Refunded, Refunding
from saga_cli.topology import Addresses
from tests.integration.stripe_fixtures import SHORT_TIMEOUT_S, TIMEOUT_S, Desk, desk
from tests.support.waiting import until_async

pytestmark = pytest.mark.long(60)

ANSWERS: Final[tuple[FaultAnswer, ...]] = ("ok", "rate_limit", "server_error", "timeout", "reset")
MATRIX: Final = [
    StripeFault(answer, effect=effect)
    for answer in ANSWERS
    for effect in (False, True)
    if (answer, effect) != ("ok", False)
]
LOST: Final = [fault for fault in MATRIX if fault.answer in {"timeout", "reset"}]
EVENTS: Final = {"capture": "payment_intent.succeeded", "refund": "refund.updated"}
every_fault = pytest.mark.parametrize("fault", MATRIX, ids=lambda f: f"{f.answer}-{f.effect}")
every_loss = pytest.mark.parametrize("fault", LOST, ids=lambda f: f"{f.answer}-{f.effect}")


@pytest.fixture
def fake() -> Iterator[FakeStripe]:
    with fake_stripe(hang_s=SHORT_TIMEOUT_S * 2.4) as made:
        yield made


@pytest.fixture
async def payment(
    addresses: Addresses,
    fake: FakeStripe,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> AsyncIterator[Desk]:
    fault = getattr(request.node, "callspec", None) and request.node.callspec.params.get("fault")
    hangs = isinstance(fault, StripeFault) and fault.answer == "timeout"
    timeout_s = SHORT_TIMEOUT_S if hangs else TIMEOUT_S
    async with desk(addresses, fake, monkeypatch, timeout_s) as made:
        yield made


@pytest.mark.parametrize("step", ["create", "capture"])
@every_fault
async def test_a_capture_ends_as_the_ledger_says(
    payment: Desk, step: ApiCall, fault: StripeFault
) -> None:
    payment.fake.script = {step: [fault, fault]}
    order = await payment.reserved()
    async with payment.working():
        state = await payment.ended(order)
    assert isinstance(state, Captured)
    assert payment.moved(order) == ([order.total_minor], [])
    assert await payment.outstanding_effects(order) == []


@every_fault
async def test_a_card_that_is_declined_stays_so(payment: Desk, fault: StripeFault) -> None:
    payment.fake.script = {"create": [fault]}
    order = await payment.reserved(payment_token="tok_chargeDeclinedInsufficientFunds")
    async with payment.working():
        state = await payment.ended(order)
    assert state == Declined(reason="insufficient_funds", customer_id="alice")
    assert payment.moved(order) == ([], [])


@every_fault
async def test_a_refund_ends_as_the_ledger_says(payment: Desk, fault: StripeFault) -> None:
    payment.fake.script = {"refund": [fault, fault]}
    order = await payment.reserved()
    async with payment.working():
        await payment.until(order, Captured)
        await payment.cancelled(order, fee_minor=100)
        state = await payment.until(order, Refunded)
    assert (state.refunded_minor, state.restocking_fee_minor, state.provider_fee_minor) == (
        861, 100, 39,
    )  # fmt: skip
    assert payment.moved(order) == ([1000], [861])


@pytest.mark.parametrize("step", ["create", "capture"])
@every_loss
async def test_a_capture_whose_key_is_forgotten_ends_as_the_ledger_says(
    payment: Desk, step: ApiCall, fault: StripeFault
) -> None:
    """No key is used again: what is found goes on, and what is not found was not taken."""
    payment.fake.script = {step: [fault]}
    order = await payment.reserved()
    await asked_once(payment, step)
    await payment.pass_time(order, 25)
    await payment.now_due(order)
    async with payment.working():
        state = await payment.ended(order)
    if step == "create" and not fault.effect:
        assert state == Declined(reason="provider_timeout", customer_id="alice")
        assert payment.moved(order) == ([], [])
    else:
        assert isinstance(state, Captured)
        assert payment.moved(order) == ([order.total_minor], [])


@every_loss
async def test_a_refund_whose_key_is_forgotten_is_made_once(
    payment: Desk, fault: StripeFault
) -> None:
    order = await payment.reserved()
    async with payment.working():
        await payment.until(order, Captured)
    payment.fake.script = {"refund": [fault]}
    await payment.cancelled(order)
    await asked_once(payment, "refund")
    await payment.pass_time(order, 25)
    await payment.now_due(order)
    async with payment.working():
        await payment.until(order, Refunded)
    assert payment.moved(order) == ([1000], [961])


async def asked_once(payment: Desk, step: ApiCall) -> None:
    """The worker has asked, has learnt nothing, and stops; what was in flight is over."""
    await payment.ask_once()
    assert any(met == step for met, _ in payment.fake.faults)
    await until_async(lambda: not payment.fake.in_flight, 30, "the end of the call")


@pytest.mark.parametrize("step", ["capture", "refund"])
async def test_a_webhook_after_the_answer_changes_nothing(payment: Desk, step: ApiCall) -> None:
    order = await payment.reserved()
    async with payment.working():
        await payment.until(order, Captured)
        if step == "refund":
            await payment.cancelled(order)
            await payment.until(order, Refunded)
        replies = await sent_thrice(payment, order, step)
    assert replies == ["repeated"] * 3
    assert_agreed(payment, order, step, await payment.published(order))


@pytest.mark.parametrize("step", ["capture", "refund"])
async def test_a_webhook_before_the_answer_is_decided_and_the_answer_changes_nothing(
    payment: Desk, step: ApiCall
) -> None:
    order = await payment.reserved()
    if step == "refund":
        async with payment.working():
            await payment.until(order, Captured)
        await payment.cancelled(order)
    payment.fake.script = {step: [StripeFault("reset", effect=True)]}
    await asked_once(payment, step)
    assert [tries for _, tries in await payment.outstanding_effects(order)] == [1]
    async with payment.working(effects=False):
        assert await sent_thrice(payment, order, step) == ["decided", "repeated", "repeated"]
    assert isinstance(await payment.state(order), Captured if step == "capture" else Refunded)
    assert await payment.outstanding_effects(order) == []
    assert_agreed(payment, order, step, await payment.published(order))


async def sent_thrice(payment: Desk, order: Any, step: ApiCall) -> list[str]:
    (event,) = payment.events_of(order, EVENTS[step])
    answers = [await payment.send_event(event) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {200}
    return [answer.json()["status"] for answer in answers]


def assert_agreed(payment: Desk, order: Any, step: ApiCall, types: list[str]) -> None:
    assert payment.moved(order) == ([1000], [961] if step == "refund" else [])
    assert len(types) == len(set(types)), "decided twice"


async def test_a_refund_that_a_bank_refuses_is_asked_for_again_and_comes_through(
    payment: Desk,
) -> None:
    payment.fake.books.refund_ends = ["failed", "failed"]
    order = await payment.reserved()
    async with payment.working():
        await payment.until(order, Captured)
        await payment.cancelled(order)
        for refusals in (1, 2):
            await refused(payment, order, refusals)
            shown = (await payment.http.get(f"/payments/{order.order_id}")).json()
            assert (shown["state"], shown["refusals"], shown["provider_fee_minor"]) == (
                "REFUNDING", refusals, 39,
            )  # fmt: skip
            assert shown["last_refusal"] == "expired_or_canceled_card"
            assert await payment.outstanding_effects(order) == [
                (f"{order.order_id}:refund:{refusals + 1}", 0)
            ]
            await payment.now_due(order)
        state = await payment.until(order, Refunded)
    assert state.settled_by == "provider"
    assert payment.moved(order) == ([1000], [961])
    types = await payment.published(order)
    assert types.count("payment.refund_refused.v1") == 2


async def refused(payment: Desk, order: Any, refusals: int) -> None:
    async def look() -> bool:
        state = await payment.state(order)
        return isinstance(state, Refunding) and state.refusals == refusals

    await until_async(look, 20, f"refusal {refusals}")


async def test_a_refund_that_takes_days_is_settled_by_its_webhook(payment: Desk) -> None:
    payment.fake.books.refund_ends = ["pending"]
    order = await payment.reserved()
    async with payment.working():
        await payment.until(order, Captured)
        await payment.cancelled(order)
        await until_async(lambda: payment.fake.books.refunds, 30, "a refund")
        (refund,) = payment.fake.books.refunds
        payment.fake.books.end_refund(refund, "succeeded")
        (event,) = payment.events_of(order, "refund.updated")
        assert (await payment.send_event(event)).status_code == 200
        await payment.until(order, Refunded)
    assert payment.moved(order) == ([1000], [961])
    assert payment.node.circuits[0].state == 0
