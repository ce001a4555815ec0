"""Requests and answers as another party's Stripe server has them: hold, charge, cancel, refund.

It knows no idempotency keys and no tokens; those are the fake's to prove.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe as sdk
from aiohttp import web
from localstripe import resources, server

from chassis.service import Attempt
from payment_svc.messages import Capture, CaptureDeclined, CaptureSucceeded, Refund, RefundSucceeded
from payment_svc.settings import StripeSettings
from payment_svc.stripe_provider import StripeProvider

KEY = "sk_test_12345"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Its own main would listen on every interface and keep its data in a file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resources.store, "dump_to_disk", lambda: None)
        loop = asyncio.new_event_loop()
        runner = web.AppRunner(server.app)

        async def listen() -> str:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0]
            return f"http://{host}:{port}"

        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        yield asyncio.run_coroutine_threadsafe(listen(), loop).result(10)
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture
async def stripe(url: str) -> AsyncIterator[StripeProvider]:
    settings = StripeSettings(api_key=KEY, api_base=url)  # type: ignore[arg-type]  # coerced
    provider = StripeProvider.connect(settings, 5)
    yield provider
    await provider.close()


@pytest.fixture
async def books(url: str) -> AsyncIterator[sdk.StripeClient]:
    """Another client of the same server."""
    http = sdk.HTTPXClient()
    yield sdk.StripeClient(KEY, base_addresses={"api": url}, http_client=http)
    await http.close_async()  # type: ignore[no-untyped-call]


def a_capture(order_id: str, **changes: Any) -> Capture:
    capture = Capture(
        order_id=order_id,
        amount_minor=3000,
        currency="EUR",
        token="pm_card_visa",
        deadline=datetime.now(UTC) + timedelta(minutes=5),
    )
    return replace(capture, **changes)


def attempt(effect: Capture | Refund) -> Attempt:
    kind = type(effect).__name__.lower()
    return Attempt(f"{effect.order_id}:{kind}:{effect.attempt}", 1, datetime.now(UTC))


async def test_a_card_is_held_and_charged(stripe: StripeProvider, books: sdk.StripeClient) -> None:
    effect = a_capture("o-1")
    outcome = await stripe.capture(effect, attempt(effect))
    assert isinstance(outcome, CaptureSucceeded)
    intent = await books.v1.payment_intents.retrieve_async(outcome.provider_ref)
    assert (intent.status, intent.amount, intent.currency) == ("succeeded", 3000, "eur")
    assert intent.capture_method == "manual"
    assert intent.metadata.to_dict() == {"order_id": "o-1", "effect": "o-1:capture:1"}


async def test_a_card_that_is_declined_says_why(stripe: StripeProvider) -> None:
    effect = a_capture("o-2", token="pm_card_chargeCustomerFail")
    outcome = await stripe.capture(effect, attempt(effect))
    assert outcome == CaptureDeclined(order_id="o-2", reason="card_declined")


async def test_a_hold_past_its_time_is_cancelled(
    stripe: StripeProvider, books: sdk.StripeClient
) -> None:
    effect = a_capture("o-3", deadline=datetime.now(UTC))
    asked_again = replace(attempt(effect), number=2)
    outcome = await stripe.capture(effect, asked_again)
    assert outcome == CaptureDeclined(order_id="o-3", reason="provider_timeout")
    page = await books.v1.payment_intents.list_async()
    found = [i async for i in page.auto_paging_iter() if i.metadata["order_id"] == "o-3"]
    assert [intent.status for intent in found] == ["canceled"]


async def test_a_part_is_given_back_and_found_again(
    stripe: StripeProvider, books: sdk.StripeClient
) -> None:
    effect = a_capture("o-4")
    captured = await stripe.capture(effect, attempt(effect))
    assert isinstance(captured, CaptureSucceeded)
    refund = Refund(
        order_id="o-4", amount_minor=2833, currency="EUR", provider_ref=captured.provider_ref
    )
    for number in (1, 2):  # the second is answered from the list
        done = await stripe.refund(refund, replace(attempt(refund), number=number))
        assert done == RefundSucceeded(order_id="o-4")
    page = await books.v1.refunds.list_async({"payment_intent": captured.provider_ref})
    assert [(made.amount, made.status) for made in page.data] == [(2833, "succeeded")]
