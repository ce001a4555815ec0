"""A provider that refuses us is left alone at once, and orders wait until it takes us again."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from structlog.testing import capture_logs

from chaos.fake_stripe import API_KEY, FakeStripe, StripeFault, fake_stripe
from chassis.effects.circuit import CircuitState
from payment_svc.domain import Captured, Capturing
from saga_cli.topology import Addresses
from tests.integration.stripe_fixtures import Desk, desk
from tests.support.waiting import until_async


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


async def gauge(http: httpx.AsyncClient) -> float:
    text = (await http.get("/metrics")).text
    name = 'saga_circuit_state{provider="stripe",service="payment"} '
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


async def test_a_wrong_key_opens_the_circuit_at_once_and_orders_settle_when_it_is_right_again(
    payment: Desk,
) -> None:
    payment.fake.api_key = "sk_test_rotated"
    (circuit,) = payment.node.circuits
    orders = [await payment.reserved()]
    with capture_logs() as logs:
        async with payment.working():
            await until_async(lambda: circuit.state is CircuitState.OPEN, 30, "an open circuit")
            assert await gauge(payment.http) == CircuitState.OPEN
            orders += [await payment.reserved() for _ in range(20)]
            asked = len(payment.fake.calls)
            probes = circuit.times_opened  # each that is refused opens it again, for longer
            assert asked <= probes + 1, "one refusal is enough, then one probe at a time"
            waiting = [await payment.state(order) for order in orders]
            assert {type(state) for state in waiting} == {Capturing}
            payment.fake.api_key = API_KEY
            states = [await payment.ended(order) for order in orders]
    assert {type(state) for state in states} == {Captured}
    assert [payment.moved(order) for order in orders] == [([1000], [])] * 21
    opened = [line for line in logs if line["event"] == "circuit_opened"]
    assert opened[0]["log_level"] == "error"
    assert "AuthenticationError" in opened[0]["error"]
    assert circuit.state is CircuitState.CLOSED


async def test_a_provider_that_is_away_is_asked_by_one_probe_at_a_time(payment: Desk) -> None:
    payment.fake.script = {"create": [StripeFault("reset", effect=False)] * 8}
    (circuit,) = payment.node.circuits
    orders = [await payment.reserved() for _ in range(8)]
    async with payment.working():
        await until_async(lambda: circuit.state is CircuitState.OPEN, 30, "an open circuit")
        states = [await payment.ended(order) for order in orders]
    assert {type(state) for state in states} == {Captured}
    assert [payment.moved(order) for order in orders] == [([1000], [])] * 8


async def test_one_order_that_always_fails_holds_up_no_other(payment: Desk) -> None:
    """Its key came with another body before: only this order's capture can't be known."""
    stuck = await payment.reserved()
    key = {
        "authorization": f"Bearer {API_KEY}",
        "idempotency-key": f"{stuck.order_id}:capture:1:create",
    }
    form = {"amount": "1", "currency": "eur", "payment_method": "pm_card_visa"}
    async with httpx.AsyncClient() as other:
        url = f"{payment.fake.url}/v1/payment_intents"
        assert (await other.post(url, data=form, headers=key)).status_code == 200
    async with payment.working():

        async def asked_six_times() -> bool:
            await payment.now_due(stuck)
            return (await payment.outstanding_effects(stuck))[0][1] >= 6

        await until_async(asked_six_times, 30, "a sixth attempt")
        others = [await payment.reserved() for _ in range(10)]
        states = [await payment.ended(order) for order in others]
        assert {type(state) for state in states} == {Captured}
        assert isinstance(await payment.state(stuck), Capturing)
        assert payment.node.circuits[0].state is CircuitState.CLOSED
    await payment.pass_time(stuck, 25)
    await payment.now_due(stuck)
    async with payment.working():
        await payment.ended(stuck)
    assert payment.moved(stuck) == ([], [])
