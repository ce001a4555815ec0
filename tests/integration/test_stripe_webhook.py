"""Webhooks that are forged, stale, about other money, or about nothing of ours."""

import copy
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from chaos.fake_stripe import SECRET, FakeStripe, StripeFault, fake_stripe, signed
from payment_svc.domain import Captured, Capturing, Declined, Refunded
from saga_cli.topology import Addresses
from tests.integration.stripe_fixtures import Desk, desk
from tests.support.problems import outcome_of, problem_of


@pytest.fixture
def fake() -> Iterator[FakeStripe]:
    with fake_stripe() as made:
        yield made


@pytest.fixture
async def payment(
    addresses: Addresses, fake: FakeStripe, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Desk]:
    async with desk(addresses, fake, monkeypatch) as made:
        yield made


async def charged_unseen(payment: Desk) -> tuple[Any, Any]:
    """An order whose charge the service doesn't know of yet, and the event that tells of it."""
    payment.fake.script = {"capture": [StripeFault("reset", effect=True)]}
    order = await payment.reserved()
    await payment.ask_once()
    assert payment.fake.faults
    (event,) = payment.events_of(order, "payment_intent.succeeded")
    return order, event


async def settled(payment: Desk, order: Any) -> Any:
    """Nothing may be owed when a test ends: the next one asks another fake."""
    async with payment.working():
        return await payment.ended(order)


@pytest.mark.parametrize(
    ("secret", "age_s", "is_believed"),
    [
        (SECRET, 0, True),
        (SECRET, 290, True),
        ("whsec_older", 0, True),
        (SECRET, 310, False),
        ("whsec_wrong", 0, False),
        ("", 0, False),
    ],
)
async def test_only_what_one_of_our_secrets_signed_lately_is_believed(
    payment: Desk, secret: str, age_s: int, *, is_believed: bool
) -> None:
    order, event = await charged_unseen(payment)
    async with payment.working(effects=False):
        answer = await payment.send_event(event, secret, age_s)
    assert outcome_of(answer) == ((200, "") if is_believed else (400, "bad_signature"))
    kind = Captured if is_believed else Capturing
    assert isinstance(await payment.state(order), kind)
    await settled(payment, order)


async def test_the_signature_is_of_the_very_bytes(payment: Desk) -> None:
    body, headers = signed({"object": "event", "type": "x", "data": {"object": {}}})
    codes = dict.fromkeys((body + b" ", body.replace(b"x", b"y"), b""), "bad_signature")
    for changed, code in (codes | {b"\xff": "malformed_webhook"}).items():
        answer = await payment.http.post("/webhooks/stripe", content=changed, headers=headers)
        assert problem_of(answer) == (400, code), changed
    del headers["stripe-signature"]
    bare = await payment.http.post("/webhooks/stripe", content=body, headers=headers)
    assert bare.json()["code"] == "bad_signature"


@pytest.mark.parametrize("body", ["[]", "null", '"text"', "{", '{"object": "v2.core.event"}'])
async def test_a_signed_body_that_is_no_event_is_refused(payment: Desk, body: str) -> None:
    content, headers = signed(body)
    answer = await payment.http.post("/webhooks/stripe", content=content, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_webhook")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount_received", 999),
        ("currency", "usd"),
        ("metadata", {"order_id": "{other}", "effect": "{order}:capture:1"}),
        ("metadata", {"order_id": "{other}", "effect": "{other}:capture:1"}),
        ("metadata", {"order_id": "{order}", "effect": "{order}:refund:1"}),
        ("metadata", {"order_id": "no-such-order", "effect": "no-such-order:capture:1"}),
    ],
    ids=["amount", "currency", "order", "another order", "effect", "unknown order"],
)
async def test_what_it_says_of_money_has_to_be_what_our_own_row_says(
    payment: Desk, field: str, value: Any
) -> None:
    order, event = await charged_unseen(payment)
    other = await payment.reserved(total_minor=5)
    ids = (("{order}", order.order_id), ("{other}", other.order_id))
    text = json.dumps(value)
    for mark, id_ in ids:
        text = text.replace(mark, id_)
    forged = copy.deepcopy(event)
    forged["data"]["object"][field] = json.loads(text)
    async with payment.working(effects=False):
        with capture_logs() as logs:
            answer = await payment.send_event(forged)
    assert (answer.status_code, answer.json()["code"]) == (422, "webhook_mismatch")
    assert [(line["event"], line["log_level"]) for line in logs] == [("webhook_mismatch", "error")]
    untouched = [await payment.state(each) for each in (order, other)]
    assert [type(state) for state in untouched] == [Capturing, Capturing]
    for each in (order, other):
        await settled(payment, each)


async def test_a_refund_of_another_amount_is_refused(payment: Desk) -> None:
    order = await payment.reserved()
    async with payment.working():
        await payment.until(order, Captured)
        await payment.cancelled(order)
        await payment.until(order, Refunded)
        (event,) = payment.events_of(order, "refund.updated")
        for field, value in (("amount", 960), ("payment_intent", "pi_other"), ("currency", "usd")):
            forged = copy.deepcopy(event)
            forged["data"]["object"][field] = value
            assert problem_of(await payment.send_event(forged)) == (422, "webhook_mismatch")


@pytest.mark.parametrize(
    ("type_", "thing"),
    [
        ("customer.created", {"id": "cus_1", "object": "customer"}),
        ("payment_intent.created", {"object": "payment_intent", "status": "succeeded"}),
        ("payment_intent.succeeded", {"object": "payment_intent", "status": "succeeded"}),
    ],
)
async def test_what_is_no_business_of_ours_is_ignored(
    payment: Desk, type_: str, thing: dict[str, Any]
) -> None:
    event = {"id": "evt_1", "object": "event", "type": type_, "data": {"object": thing}}
    answer = await payment.send_event(event)
    assert (answer.status_code, answer.json()) == (200, {"status": "ignored"})


async def test_a_declined_card_may_be_told_of_first(payment: Desk) -> None:
    payment.fake.script = {"create": [StripeFault("reset", effect=True)]}
    order = await payment.reserved(payment_token="tok_chargeDeclinedInsufficientFunds")
    await payment.ask_once()
    assert payment.fake.faults
    (event,) = payment.events_of(order, "payment_intent.payment_failed")
    async with payment.working(effects=False):
        assert (await payment.send_event(event)).json() == {"status": "decided"}
    assert await payment.state(order) == Declined(reason="insufficient_funds", customer_id="alice")
    assert await payment.outstanding_effects(order) == []


async def test_money_that_comes_back_after_it_was_refunded_is_an_error_in_the_log(
    payment: Desk,
) -> None:
    """A bank may refuse days after Stripe called the refund a success."""
    order = await payment.reserved()
    async with payment.working():
        await payment.until(order, Captured)
        await payment.cancelled(order)
        await payment.until(order, Refunded)
        (refund,) = payment.fake.books.refunds
        payment.fake.books.end_refund(refund, "failed")
        (event,) = payment.events_of(order, "refund.failed")
        with capture_logs() as logs:
            assert (await payment.send_event(event)).json() == {"status": "repeated"}
    (line,) = [line for line in logs if line["event"] == "webhook_contradicts"]
    assert (line["log_level"], line["saga_id"]) == ("error", order.order_id)


async def test_a_body_that_is_too_large_is_refused(payment: Desk) -> None:
    _, headers = signed("")
    answer = await payment.http.post("/webhooks/stripe", content=b"x" * 70_000, headers=headers)
    assert problem_of(answer) == (413, "body_too_large")


async def test_without_a_secret_webhooks_are_off(
    addresses: Addresses, fake: FakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(addresses, fake, monkeypatch, STRIPE_WEBHOOK_SECRET="") as payment:
        answer = await payment.send_event({"object": "event"})
    assert (answer.status_code, answer.json()["code"]) == (403, "webhooks_off")


async def test_without_stripe_there_is_no_such_place(
    addresses: Addresses, fake: FakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(addresses, fake, monkeypatch, PAYMENT_PROVIDER="simulated") as payment:
        answer = await payment.send_event({"object": "event"})
    assert problem_of(answer) == (404, "not_found")
