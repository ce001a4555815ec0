"""What metrics say of decisions, lags, requests and what waits; and that no label grows without a bound."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from aiokafka import TopicPartition
from prometheus_client import REGISTRY

from chassis import clock
from chassis.bus import Committed
from chassis.decide import BatchResult, Snapshot
from chassis.effects import Circuit
from chassis.http.app import make_app
from chassis.http.event_streams import EventStream, EventStreams
from chassis.http.measured import MeasuredRequests
from chassis.kafka.lag import Lag
from chassis.measuring import StepMeasures, show_backlog
from chassis.message import Decided, Duplicate, EffectProgress, Outcome
from chassis.metrics import OTHER, VALUES_MAX, Bounded
from chassis.store import StoreBacklog
from order_svc.domain import Cancelled, Confirmed, State
from order_svc.measures import OrderMeasures
from payment_svc.service import SERVICE as PAYMENT
from shared_events.order import OrderCancelled, OrderConfirmed
from shared_events.payment import PaymentCaptured, PaymentRefunded
from shared_events.values import Line
from tests.support.callers import open_gate
from tests.support.problems import problem_of
from tests.support.records import a_message, an_order, captured

AT = datetime(2026, 11, 29, 12, tzinfo=UTC)
ORDERS = 10_000
STREAM_HEADERS = EventStream(EventStreams("order", 1, asyncio.Event()), "", "", None).raw_headers  # type: ignore[arg-type]
PLACE, OTHER_PLACE = TopicPartition("payment.forward", 0), TopicPartition("payment.forward", 1)


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def committed(*outcomes: Outcome, took_s: float | None = None) -> Committed:
    """One message each, which was caused so long before its decision."""
    messages = [a_message(captured()) for _ in outcomes]
    for message in messages:
        message.at = AT
        message.caused_at = None if took_s is None else AT - timedelta(seconds=took_s)
    return Committed(messages, BatchResult(Snapshot(), outcomes=[*outcomes]))


def test_events_are_counted_with_their_lane_and_their_step_is_timed() -> None:
    measures = StepMeasures(PAYMENT)
    refunded = PaymentRefunded(
        order_id="o",
        reason="r",
        refused_by="",
        captured_minor=1,
        refunded_minor=1,
        fee_minor=0,
        currency="EUR",
    )
    forward = {"service": "payment", "event": "payment.captured", "lane": "forward"}
    backward = {"service": "payment", "event": "payment.refunded", "lane": "backward"}
    step = {"service": "payment", "event": "payment.captured"}
    before = [value("saga_events_decided_total", **lane) for lane in (forward, backward)]
    sum_before = value("saga_step_seconds_sum", **step)
    outcomes: list[Outcome] = [
        Decided((captured(),), None),
        Decided((refunded,), None),
        Duplicate(),
    ]
    measures.committed(committed(*outcomes, took_s=2.5))
    after = [value("saga_events_decided_total", **lane) for lane in (forward, backward)]
    assert after == [count + 1 for count in before]
    assert value("saga_step_seconds_sum", **step) - sum_before == 2.5


@pytest.mark.parametrize(("took_s", "counted"), [(None, 0), (-3.0, 1)])
def test_a_step_that_begins_here_is_not_timed_and_none_takes_less_than_no_time(
    took_s: float | None, counted: int
) -> None:
    labels = {"service": "payment", "event": "payment.captured"}
    names = ("saga_step_seconds_count", "saga_step_seconds_sum")
    count, sum_ = (value(name, **labels) for name in names)
    StepMeasures(PAYMENT).committed(committed(Decided((captured(),), None), took_s=took_s))
    assert value(names[0], **labels) == count + counted
    assert value(names[1], **labels) == sum_


def test_an_order_counts_by_its_end_with_the_time_since_its_checkout() -> None:
    measures = OrderMeasures()
    order = an_order(placed_at=AT - timedelta(seconds=7), deadline=AT)
    confirmed = State(Confirmed(order=order), {})
    undone = Cancelled(
        order=order, reason="declined", refused_by="payment", refunded_minor=0, fee_minor=0
    )
    names = ("saga_orders_settled_total", "saga_order_seconds_sum")
    good = {"outcome": "confirmed", "refused_by": "", "reason": ""}
    bad = {"outcome": "cancelled", "refused_by": "payment", "reason": "declined"}
    before = [value(names[0], **good), value(names[0], **bad), value(names[1], outcome="cancelled")]
    cancelled = OrderCancelled(order_id=order.order_id, reason="declined", refused_by="payment")
    measures.committed(
        committed(
            Decided((OrderConfirmed(order_id=order.order_id),), confirmed),
            Decided((cancelled,), State(undone, {})),
        )
    )
    after = [value(names[0], **good), value(names[0], **bad), value(names[1], outcome="cancelled")]
    assert after == [before[0] + 1, before[1] + 1, before[2] + 7]


@pytest.mark.long(5)
def test_ten_thousand_orders_of_as_many_customers_and_products_add_no_series() -> None:
    steps, orders = StepMeasures(PAYMENT), OrderMeasures()

    def settle(number: int) -> None:
        lines = (Line(sku=f"SKU-{number}", quantity=1, unit_price_minor=1000),)
        order = an_order(customer_id=f"c-{number}", lines=lines, placed_at=AT, deadline=AT)
        steps.committed(committed(Decided((captured(order),), None), took_s=1))
        confirmed = State(Confirmed(order=order), {})
        orders.committed(committed(Decided((OrderConfirmed(order_id=order.order_id),), confirmed)))

    settle(0)
    before = series()
    for number in range(1, ORDERS):
        settle(number)
    assert series() == before


def series() -> set[tuple[str, ...]]:
    samples = (sample for metric in REGISTRY.collect() for sample in metric.samples)
    return {(sample.name, *map(str, sorted(sample.labels.items()))) for sample in samples}


def test_reasons_of_others_are_distinguished_up_to_a_bound() -> None:
    measures, order = OrderMeasures(), an_order(placed_at=AT, deadline=AT)
    for number in range(3 * VALUES_MAX):
        reason = f"code {number}"
        event = OrderCancelled(order_id=order.order_id, reason=reason, refused_by="payment")
        state = Cancelled(
            order=order, reason=reason, refused_by="payment", refunded_minor=0, fee_minor=0
        )
        measures.committed(committed(Decided((event,), State(state, {}))))
    labels = {"outcome": "cancelled", "refused_by": "payment"}
    assert value("saga_orders_settled_total", reason="code 0", **labels) == 1
    assert value("saga_orders_settled_total", reason=OTHER, **labels) >= 2 * VALUES_MAX
    bounded = Bounded()
    assert len({bounded(str(number)) for number in range(1000)}) == VALUES_MAX + 1


def test_effects_are_shown_by_progress_and_none_stays_that_is_gone() -> None:
    def shown(kind: str, progress: EffectProgress) -> float:
        labels = {"service": "payment", "kind": kind, "progress": progress}
        return value("saga_effects_outstanding", **labels)

    counts = Counter(
        {("Capture", EffectProgress.RETRIED): 3, ("Refund", EffectProgress.ATTENTION): 2}
    )
    show_backlog(
        PAYMENT, StoreBacklog(outbox_rows=5, parked_keys=1, parked_messages=4, effects=counts)
    )
    assert shown("Capture", EffectProgress.RETRIED) == 3
    assert shown("Refund", EffectProgress.ATTENTION) == 2
    assert value("saga_outbox_rows", service="payment") == 5
    assert value("saga_parked_keys", service="payment") == 1
    show_backlog(PAYMENT, StoreBacklog())
    assert shown("Capture", EffectProgress.RETRIED) == 0
    assert shown("Refund", EffectProgress.ATTENTION) == 0


def test_a_circuit_shows_before_anything_happens_to_it() -> None:
    Circuit("shipping", "a carrier of this test")
    labels = {"service": "shipping", "provider": "a carrier of this test"}
    assert REGISTRY.get_sample_value("saga_circuit_state", labels) == 0


class Time:
    def __init__(self) -> None:
        self.s = 1000.0

    def record(self) -> Any:
        return SimpleNamespace(timestamp=int((AT.timestamp() + self.s) * 1000))


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(clock, "monotonic", lambda: made.s)
    monkeypatch.setattr(clock, "now", lambda: AT + timedelta(seconds=made.s))
    return made


def test_a_batch_in_hand_is_as_old_as_its_oldest_record(time: Time) -> None:
    age = Lag()
    first = time.record()
    time.s += 4
    age.taken({PLACE: [first, time.record()], OTHER_PLACE: [time.record()]})
    time.s += 2
    assert age.seconds(()) == pytest.approx(6)
    age.handled({PLACE: [first]})
    assert age.seconds(()) == 0


def test_what_was_not_read_is_no_older_than_the_last_one_handled(time: Time) -> None:
    """A partition that is never without a lag need not be late: records come all the time."""
    age = Lag()
    for _ in range(100):
        age.handled({PLACE: [time.record()]})
        time.s += 1
        assert age.seconds({PLACE}) <= 1
    time.s += 30
    assert age.seconds({PLACE}) == pytest.approx(31)


def test_what_was_not_read_was_not_there_when_nothing_was(time: Time) -> None:
    """The last record of a quiet partition is days old; the one that just came is not."""
    age = Lag()
    age.handled({PLACE: [time.record()]})
    time.s += 86_400
    assert age.seconds({PLACE}) == 0
    time.s += 5
    assert age.seconds({PLACE}) == pytest.approx(5)
    assert age.seconds(()) == 0
    assert age.seconds({PLACE}) == 0


async def _nothing_fails() -> tuple[()]:
    return ()


async def test_requests_are_measured_by_the_template_of_their_route() -> None:
    app = make_app("order", _nothing_fails, open_gate())
    transport = httpx.ASGITransport(app)

    def count(route: str, status: str, method: str = "GET") -> float:
        labels = {"service": "order", "method": method, "route": route, "status": status}
        return value("http_server_request_duration_seconds_count", **labels)

    before = count("/health/live", "200"), count("none", "404"), count("none", "404", "other")
    async with httpx.AsyncClient(transport=transport, base_url="http://order") as client:
        await client.get("/health/live")
        for path in ("/a", "/b/c", "/%00"):
            assert problem_of(await client.get(path)) == (404, "not_found")
        await client.request("BREW", "/a")
    after = count("/health/live", "200"), count("none", "404"), count("none", "404", "other")
    assert after == (before[0] + 1, before[1] + 3, before[2] + 1)


async def test_a_stream_is_measured_until_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(clock, "monotonic", lambda: now)

    async def streaming(_scope: Any, _receive: Any, send: Any) -> None:
        nonlocal now
        now += 1
        await send({"type": "http.response.start", "status": 200, "headers": STREAM_HEADERS})
        now += 600
        await send({"type": "http.response.body", "body": b": \n\n"})

    async def sent(_message: Any) -> None:
        return None

    async def received() -> Any:
        return {"type": "http.request"}

    measured = MeasuredRequests(streaming, "streaming")
    await measured({"type": "http", "method": "GET"}, received, sent)
    labels = {"service": "streaming", "method": "GET", "route": "none", "status": "200"}
    assert value("http_server_request_duration_seconds_sum", **labels) == 1


def test_the_lane_of_compensations_is_called_backward() -> None:
    lanes = {PAYMENT.catalog.by_event[event].lane for event in (PaymentCaptured, PaymentRefunded)}
    assert lanes == {"forward", "backward"}
