"""Spans of every hop of an order, in one trace, named after its saga."""

from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from chassis import tracing
from chassis.work import States, work_of
from shared_events.codec import decode
from shared_events.payment import PaymentCaptured
from shipping_svc.service import SERVICE
from tests.support.records import TRACE, a_message, an_order


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    found = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(found))
    before = trace._TRACER_PROVIDER
    trace._TRACER_PROVIDER = provider
    yield found
    trace._TRACER_PROVIDER = before


def test_a_hop_is_a_span_below_the_message_and_above_its_events(
    exporter: InMemorySpanExporter,
) -> None:
    order = an_order()
    event = PaymentCaptured(order=order, captured_minor=1000, provider_ref="p")
    work = work_of(SERVICE, States(), [a_message(event)], set())
    (span,) = exporter.get_finished_spans()
    assert span.name == "decide PaymentCaptured"
    assert span.attributes == {"saga.id": order.order_id}
    assert span.parent is not None
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == tuple(
        TRACE.split("-")[1:3]
    )
    (row,) = work.outbox
    envelope = decode(row.value, row.headers)
    assert envelope.traceparent.split("-")[1:3] == [
        TRACE.split("-")[1],
        f"{span.context.span_id:016x}",
    ]


def test_a_broken_trace_header_starts_a_new_trace() -> None:
    assert tracing.started(TRACE) == TRACE
    for broken in ("", "rubbish", "00-0-0-01", None):
        fresh = tracing.started(broken)
        assert tracing.started(fresh) == fresh
