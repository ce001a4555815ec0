"""Spans of every hop of an order, by OpenTelemetry's conventions, and only of what was done."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, TraceIdRatioBased
from opentelemetry.semconv._incubating.attributes import messaging_attributes as conventions
from opentelemetry.semconv._incubating.attributes.cloudevents_attributes import (
    CLOUDEVENTS_EVENT_TYPE,
)
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.trace import SpanKind, StatusCode

from chassis import spans, tracing
from chassis.decide import Snapshot, decide_batch
from chassis.errors import ConcurrentChangeError, ProviderError
from chassis.message import Message, OutboxRow, Parked, PendingEffect, Record
from chassis.redrive import redrive
from shared_events.codec import decode
from shipping_svc.service import SERVICE
from simulation.database import Database
from simulation.memory_inspection import MemoryInspection
from simulation.memory_store import MemoryStore
from tests.support.opened import Opened
from tests.support.records import TRACE, a_message, a_record, an_order, captured
from tests.support.spans import recorded_spans

STATE = "a=1,b=2"
DROPPED = f"{TRACE[:-1]}0"


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    with recorded_spans() as found:
        yield found


def opened() -> Opened:
    store = MemoryStore(SERVICE, Database())
    return Opened.of(SERVICE, store, MemoryInspection(store))


async def the_row(shop: Opened) -> OutboxRow:
    await shop.lead()
    ((_, row),) = await shop.pending(10)
    return row


def failing(*_: Any) -> Any:
    raise ZeroDivisionError("of alice@example.com")


def below(span: ReadableSpan) -> str:
    """The context that a span is below, in the form of a traceparent that is recorded."""
    assert span.parent is not None
    return tracing.text_of(span.parent).partition(" ")[0]


def linked(span: ReadableSpan) -> list[str]:
    return [tracing.text_of(link.context).partition(" ")[0] for link in span.links]


def own(span: ReadableSpan) -> str:
    context = span.get_span_context()
    assert context is not None
    return tracing.text_of(context).partition(" ")[0]


def test_names_are_those_of_the_conventions() -> None:
    ours = {
        "MESSAGING_OPERATION_NAME": spans.OPERATION,
        "MESSAGING_OPERATION_TYPE": spans.OPERATION_TYPE,
        "MESSAGING_SYSTEM": spans.SYSTEM,
        "MESSAGING_DESTINATION_NAME": spans.DESTINATION,
        "MESSAGING_DESTINATION_PARTITION_ID": spans.PARTITION,
        "MESSAGING_CONSUMER_GROUP_NAME": spans.GROUP,
        "MESSAGING_CLIENT_ID": spans.CLIENT,
        "MESSAGING_BATCH_MESSAGE_COUNT": spans.COUNT,
        "MESSAGING_KAFKA_MESSAGE_KEY": spans.KEY,
        "MESSAGING_KAFKA_OFFSET": spans.OFFSET,
        "MESSAGING_MESSAGE_ID": spans.MESSAGE,
        "MESSAGING_MESSAGE_CONVERSATION_ID": spans.CONVERSATION,
    }
    assert {name: getattr(conventions, name) for name in ours} == ours
    assert (spans.ERROR, spans.EVENT_TYPE) == (ERROR_TYPE, CLOUDEVENTS_EVENT_TYPE)
    types = {each.value for each in conventions.MessagingOperationTypeValues}
    assert set(spans.KINDS) <= types


async def test_a_message_is_a_span_below_its_event_and_above_those_that_it_leads_to(
    exporter: InMemorySpanExporter,
) -> None:
    order = an_order()
    message = a_message(captured(order))
    record = message.record
    assert record is not None
    shop = opened()
    await shop.handle([replace(message, traceparent=f"{TRACE} {STATE}")])
    create, process = sorted(exporter.get_finished_spans(), key=lambda span: span.name)
    assert (process.name, process.kind) == (f"process {record.topic}", SpanKind.CONSUMER)
    assert below(process) == TRACE
    assert linked(process) == [TRACE]
    assert process.attributes == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": record.topic,
        "messaging.destination.partition.id": str(record.partition),
        "messaging.consumer.group.name": "shipping",
        "messaging.kafka.message.key": order.order_id,
        "messaging.kafka.offset": record.offset,
        "messaging.message.id": str(message.id),
        "messaging.message.conversation_id": order.order_id,
        "cloudevents.event_type": "payment.captured.v1",
        "saga.id": order.order_id,
    }
    row = await the_row(shop)
    envelope = decode(row.value, row.headers)
    assert (create.name, create.kind) == (f"create {row.topic}", SpanKind.PRODUCER)
    assert below(create) == own(process)
    assert (envelope.traceparent, envelope.tracestate) == (own(create), STATE)
    assert create.attributes is not None
    assert create.attributes["messaging.message.id"] == str(envelope.id)
    (effect,) = (await shop.inspection.whereabouts(order.order_id)).outstanding_effects
    assert effect.traceparent == f"{own(process)} {STATE}"


async def test_what_was_decided_and_not_written_is_no_part_of_a_trace(
    exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, message = opened(), a_message(captured())
    begin, tries = type(shop.store).begin, list[bool]()

    def begun(self: Any, *, is_retry: bool = False) -> Any:
        unit = begin(self, is_retry=is_retry)
        tries.append(is_retry)
        if len(tries) == 1:
            unit = _Overtaken(unit)
        return unit

    monkeypatch.setattr(type(shop.store), "begin", begun)
    await shop.handle([message])
    assert len(tries) == 2
    names = sorted(span.name.partition(" ")[0] for span in exporter.get_finished_spans())
    assert names == ["create", "process"]
    await shop.core.handler.preview([a_message(captured())])
    assert len(exporter.get_finished_spans()) == len(names)


class _Overtaken:
    """A unit of work whose commit finds that another was first."""

    def __init__(self, unit: Any) -> None:
        self.unit = unit

    async def __aenter__(self) -> Any:
        begun = await self.unit.__aenter__()

        async def commit(_result: Any) -> None:
            raise ConcurrentChangeError("another was first")

        return SimpleNamespace(read=begun.read, read_shared=begun.read_shared, commit=commit)

    async def __aexit__(self, *error: object) -> Any:
        return await self.unit.__aexit__(*error)


def test_a_message_that_fails_is_a_span_with_the_type_of_its_error(
    exporter: InMemorySpanExporter,
) -> None:
    batch = decide_batch(replace(SERVICE, decide=failing), Snapshot(), [a_message(captured())])
    spans.end(batch.spans)
    (span,) = exporter.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["error.type"] == "ZeroDivisionError"
    assert span.status.status_code is StatusCode.ERROR
    assert "alice@example.com" not in span.to_json()
    assert batch.outcomes == [Parked("ZeroDivisionError: of alice@example.com")]


async def test_a_redriven_message_is_below_the_operators_request_and_links_to_its_event(
    exporter: InMemorySpanExporter,
) -> None:
    shop = opened()
    broken = replace(shop.core.handler, service=replace(SERVICE, decide=failing))
    message = a_message(captured())
    assert message.record is not None
    record = message.record
    await broken.handle([message])
    exporter.clear()
    with tracing.tracer().start_as_current_span("POST /ops/dead-letters/redrive") as request:
        await redrive(shop.core.handler, shop.inspection, record.subject, by="ada")
    found = {span.name.partition(" ")[0]: span for span in exporter.get_finished_spans()}
    assert below(found["process"]) == tracing.text_of(request.get_span_context())
    assert linked(found["process"]) == [TRACE]
    assert below(found["create"]) == own(found["process"])


def rows_of(*contexts: str) -> list[OutboxRow]:
    return [
        OutboxRow("order.forward", f"o-{n}", b"{}", [("traceparent", context.encode())])
        for n, context in enumerate(contexts)
    ]


def test_a_batch_is_a_trace_of_its_own_with_links_to_what_is_recorded(
    exporter: InMemorySpanExporter,
) -> None:
    other = TRACE.replace("b7ad", "c7ad")
    rows = rows_of(TRACE, DROPPED, "", "rubbish", other)
    sent = spans.send("order-relay", "order.forward", rows)
    assert sent is not None
    sent.end()
    record = a_record(captured())
    reader = spans.Reader("shipping")
    reader.received([record, record])
    with suppress(ProviderError), reader.settling():
        raise ProviderError("no answer")
    with reader.settling():  # nothing is left to settle
        assert reader.links == []
    send, receive, settle = exporter.get_finished_spans()
    assert [(s.name, s.kind, s.parent) for s in (send, receive, settle)] == [
        ("send order.forward", SpanKind.CLIENT, None),
        (f"receive {record.topic}", SpanKind.CLIENT, None),
        ("settle", SpanKind.CLIENT, None),
    ]
    assert linked(send) == [TRACE, other]
    assert linked(receive) == linked(settle) == [TRACE, TRACE]
    assert send.attributes is not None
    assert send.attributes["messaging.batch.message_count"] == len(rows)
    assert settle.attributes is not None
    assert settle.attributes["error.type"] == "ProviderError"
    assert spans.send("order-relay", "order.forward", rows_of(DROPPED, "")) is None


def test_a_batch_of_one_says_which_message_it_is(exporter: InMemorySpanExporter) -> None:
    record = a_record(captured(), offset=7)
    spans.Reader("shipping").received([record])
    (span,) = exporter.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["messaging.kafka.offset"] == 7
    assert span.attributes["messaging.kafka.message.key"] == record.subject
    assert span.attributes["saga.id"] == record.subject


@pytest.mark.parametrize(
    ("context", "outcome", "error_type"),
    [(TRACE, None, None), (TRACE, ProviderError("no answer"), "ProviderError")],
)
def test_a_call_of_a_provider_is_a_span_above_what_its_outcome_leads_to(
    exporter: InMemorySpanExporter, context: str, outcome: Exception | None, error_type: str | None
) -> None:
    effect = PendingEffect("o-1:capture:1", "o-1", "Capture", b"{}", context, tries=2)
    with suppress(ProviderError), spans.effect("simulated", effect, "Capture") as followed:
        if outcome:
            raise outcome
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.kind) == ("Capture simulated", SpanKind.CLIENT)
    assert below(span) == TRACE
    assert followed == own(span)
    assert span.attributes is not None
    assert span.attributes["saga.id"] == "o-1"
    assert span.attributes.get("error.type") == error_type
    assert span.events == ()


async def test_what_the_sampler_drops_is_dropped_at_every_hop() -> None:
    message = a_message(captured())
    effect = PendingEffect("o-1:capture:1", "o-1", "Capture", b"{}", DROPPED)
    with recorded_spans(ParentBased(TraceIdRatioBased(1))) as exporter:
        shop = opened()
        await shop.handle([replace(message, traceparent=DROPPED)])
        row = await the_row(shop)
        with spans.effect("simulated", effect, "Capture") as context:
            assert context == DROPPED
        assert decode(row.value, row.headers).traceparent == DROPPED
        assert exporter.get_finished_spans() == ()
    with recorded_spans(ALWAYS_ON) as exporter:  # which asks no parent
        await opened().handle([replace(message, traceparent=DROPPED)])
        assert len(exporter.get_finished_spans()) == 2


@pytest.mark.parametrize(("sampled", "found"), [(TRACE, 1), (DROPPED, 0)])
def test_a_batch_is_recorded_where_one_of_its_messages_is(sampled: str, found: int) -> None:
    """Whatever the ratio is at which traces begin: by that it would be missing beside most orders."""
    with recorded_spans(ParentBased(TraceIdRatioBased(0))) as exporter:
        span = spans.send("order-relay", "order.forward", rows_of(sampled))
        spans.end([span] if span else [])
        assert len(exporter.get_finished_spans()) == found
    with recorded_spans(TraceIdRatioBased(0)) as exporter:  # which no order gets past
        span = spans.send("order-relay", "order.forward", rows_of(TRACE))
        spans.end([span] if span else [])
        assert exporter.get_finished_spans() == ()


def headers_of(record: Record | OutboxRow) -> Sequence[str]:
    return [name for name, _ in record.headers]


def test_without_an_exporter_an_event_has_what_its_message_had_and_no_baggage() -> None:
    message: Message = replace(a_message(captured()), traceparent=f"{TRACE} {STATE}")
    batch = decide_batch(
        SERVICE, Snapshot(), [message, replace(a_message(captured()), traceparent="")]
    )
    assert batch.spans == []
    first, second = batch.outbox
    assert spans.context_in(first.headers) == f"{TRACE} {STATE}"
    assert {"traceparent", "tracestate", "baggage"}.isdisjoint(headers_of(second))
