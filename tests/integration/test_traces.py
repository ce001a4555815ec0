"""An order's trace as a receiver of OTLP gets it from five processes: one tree, by the conventions."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import httpx
import pytest

from saga_cli.log.reader import read
from saga_cli.stack.services import Services
from saga_cli.topology import SERVICES
from shared_events.catalog import CATALOG
from tests.support.otlp import Received, Receiver, otlp_receiver
from tests.support.records import a_record, an_order, captured
from tests.support.saga import changed, on_servers, operating, parked, sent, settles, why
from tests.support.servers import private_stack, start_each
from tests.support.shop import checkout, settled
from tests.support.waiting import until

KINDS: Final = {
    "create": "PRODUCER",
    "send": "CLIENT",
    "receive": "CLIENT",
    "process": "CONSUMER",
    "settle": "CLIENT",
    "POST": "SERVER",
    "PUT": "SERVER",
    "GET": "SERVER",
    "Capture": "CLIENT",
    "Refund": "CLIENT",
    "Book": "CLIENT",
    "CancelBooking": "CLIENT",
}
ALL_FIVE: Final = {f"{spec.name}-svc" for spec in SERVICES}
STATEMENTS: Final = {f"{spec.prefix}_TRACE_STATEMENTS": "true" for spec in SERVICES}
SYSTEM: Final = "db.system.name"
MESSAGING: Final = ("create", "send", "receive", "process", "settle")


@dataclass(frozen=True, slots=True)
class Traced:
    """A system whose services send their spans to a receiver."""

    services: Services
    receiver: Receiver

    def tree(self, root: str, order_id: str, last: str) -> list[Received]:
        """The spans of the one trace that begins with `root` and is about the order, once `last` is there.

        Those of database statements are left out.
        """

        def complete() -> Any:
            own = self.receiver.of_saga(order_id)
            traces = {span.trace_id for span in own if span.name == root}
            spans = [span for id_ in traces for span in self.receiver.of_trace(id_)]
            ids = {span.id for span in spans}
            is_complete = all(not span.parent or span.parent in ids for span in spans)
            return spans if is_complete and any(span.name == last for span in spans) else None

        found: list[Received] = until(complete, 60, f"{last} below {root} of {order_id}")
        assert len({span.trace_id for span in found}) == 1
        return [span for span in found if SYSTEM not in span.attributes]


def variables(receiver: Receiver, ratio: str) -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": ratio,
    }


@pytest.fixture(scope="module")
def traced() -> Iterator[Traced]:
    with otlp_receiver() as receiver, private_stack() as (services, _):
        start_each(services, variables=variables(receiver, "1") | STATEMENTS)
        yield Traced(services, receiver)


def check_tree(spans: list[Received], root: str) -> None:
    """One root, kinds by the conventions, and below each span what it led to."""
    by_id = {span.id: span for span in spans}
    assert [span.name for span in spans if not span.parent] == [root]
    assert {span.kind for span in spans if span.kind != KINDS[span.operation]} == set()
    for span in spans:
        above = by_id[span.parent].operation if span.parent else ""
        if span.operation == "process":
            assert above == "create"
            assert span.links == (span.parent,)
            assert span.service != by_id[span.parent].service
        elif span.operation == "create":
            assert above not in {"create", "send", "receive", "settle"}
            assert span.service == by_id[span.parent].service
        elif span.parent:
            assert above == "process"


def check_attributes(spans: list[Received], order_id: str) -> None:
    for span in spans:
        found = span.attributes
        assert found["saga.id"] == order_id, span
        if span.operation in MESSAGING:
            destination = found["messaging.destination.name"]
            assert span.name == f"{span.operation} {destination}"
            assert found["messaging.system"] == "kafka"
            assert found["messaging.operation.name"] == span.operation
            assert found["messaging.operation.type"] == span.operation
            assert found["messaging.kafka.message.key"] == order_id
            assert found["messaging.message.conversation_id"] == order_id
            assert found["messaging.message.id"]
        if span.operation == "process":
            assert found["messaging.consumer.group.name"] == span.service.removesuffix("-svc")
            assert found["messaging.destination.partition.id"].isdecimal()
            assert found["messaging.kafka.offset"] >= 0


def is_compacted(span: Received) -> bool:
    """Of a topic that `read` does not read: payment and delivery details."""
    return span.attributes["messaging.destination.name"] in CATALOG.compacted


def test_a_confirmed_order_is_one_tree_over_five_processes(traced: Traced) -> None:
    order_id = checkout(traced.services).json()["order_id"]
    spans = traced.tree("POST /checkout", order_id, "process order.outcome")
    check_tree(spans, "POST /checkout")
    check_attributes(spans, order_id)
    assert {span.service for span in spans} == ALL_FIVE
    calls = Counter(span.operation for span in spans)
    assert calls["Capture"] == calls["Book"] == 1
    settled(traced.services, [order_id])
    logged = asyncio.run(read(traced.services.addresses.kafka))
    mine = [each.envelope for each in logged if each.envelope.subject == order_id]
    assert {envelope.traceparent.split("-")[1] for envelope in mine} == {spans[0].trace_id}

    def created() -> set[str]:
        found = traced.receiver.of_trace(spans[0].trace_id)
        kept = [s.attributes for s in found if s.operation == "create" and not is_compacted(s)]
        return {attributes["messaging.message.id"] for attributes in kept}

    until(lambda: created() == {str(envelope.id) for envelope in mine}, 30, "each event's span")


def test_batches_are_linked_to_the_events_in_them(traced: Traced) -> None:
    order_id = checkout(traced.services).json()["order_id"]
    spans = traced.tree("POST /checkout", order_id, "process order.outcome")
    created = {span.id for span in spans if span.operation == "create"}

    def linked(operation: str) -> set[str]:
        found = [span for span in traced.receiver.spans if span.operation == operation]
        assert {(span.parent, span.kind) for span in found} <= {("", "CLIENT")}
        return {id_ for span in found for id_ in span.links}

    until(lambda: created <= linked("send"), 30, "each event is sent")
    processed = {span.parent for span in spans if span.operation == "process"}
    until(lambda: processed <= linked("receive"), 30, "each is received")
    until(lambda: processed <= linked("settle"), 30, "each is settled")


def test_statements_of_both_databases_are_spans_on_demand(traced: Traced) -> None:
    order_id = checkout(traced.services).json()["order_id"]
    spans = traced.tree("POST /checkout", order_id, "process order.outcome")
    of_order = {span.id for span in spans}

    def made() -> list[Received]:
        """Those that are about the order: below one of its spans, or with a link to one."""
        found = [span for span in list(traced.receiver.spans) if SYSTEM in span.attributes]
        return [span for span in found if of_order & {span.parent, *span.links}]

    written = {"order-svc": "INSERT orders", "shipping-svc": "INSERT shipments"}
    until(lambda: all(named(made(), *each) for each in written.items()), 60, "all that is written")
    until(lambda: named(made(), "loyalty-svc", "EVAL commit"), 60, "the script of Redis")
    statements = made()
    assert {span.kind for span in statements} == {"CLIENT"}
    systems = {(span.service == "loyalty-svc", span.attributes[SYSTEM]) for span in statements}
    assert systems == {(True, "redis"), (False, "postgresql")}
    for span in statements:
        assert span.name == span.attributes["db.query.summary"]
        assert span.operation == span.attributes["db.operation.name"]
        assert order_id not in str(span.attributes)
        assert "db.query.text" not in span.attributes


def named(spans: list[Received], service: str, name: str) -> list[Received]:
    return [span for span in spans if span.service == service and span.name.startswith(name)]


def test_a_compensation_is_in_the_tree_of_its_order(traced: Traced) -> None:
    answer = checkout(traced.services, customer_id="mallory")
    assert answer.json()["state"] == "CANCELLED"
    order_id = answer.json()["order_id"]
    spans = traced.tree("POST /checkout", order_id, "process inventory.backward")
    check_tree(spans, "POST /checkout")
    check_attributes(spans, order_id)
    assert {span.service for span in spans} == ALL_FIVE
    calls = Counter(span.operation for span in spans)
    assert calls["Refund"] == calls["CancelBooking"] == 1


def test_a_cancellation_is_a_tree_below_its_own_request(traced: Traced) -> None:
    order_id = checkout(traced.services).json()["order_id"]
    placed = traced.tree("POST /checkout", order_id, "process order.outcome")
    cancel = f"{traced.services.url('order')}/orders/{order_id}/cancel"
    assert httpx.post(cancel).status_code == 202
    root = "POST /orders/{order_id}/cancel"
    spans = traced.tree(root, order_id, "process inventory.backward")
    check_tree(spans, root)
    check_attributes(spans, order_id)
    assert {span.service for span in spans} == ALL_FIVE
    (first,), (second,) = ({span.trace_id for span in own} for own in (placed, spans))
    page = {"SAGA_TRACE_URL": "http://viewer/trace/{trace_id}"}
    shown = on_servers(traced.services, "timeline", order_id, "--trace", **page)
    links = [line for line in shown.out.splitlines() if line.startswith("trace of ")]
    assert [line.rpartition(" ")[2] for line in links] == [
        f"http://viewer/trace/{first}",
        f"http://viewer/trace/{second}",
    ]


def test_a_callers_context_is_the_parent_and_its_state_goes_along_but_no_baggage(
    traced: Traced,
) -> None:
    trace, parent = "1af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    headers = {
        "traceparent": f"00-{trace}-{parent}-01",
        "tracestate": "shop=web",
        "baggage": "customer=alice",
    }
    order_id = checkout(traced.services, headers=headers).json()["order_id"]
    settled(traced.services, [order_id])
    (root,) = until(lambda: [s for s in traced.receiver.of_trace(trace) if s.parent == parent])
    assert (root.name, root.kind) == ("POST /checkout", "SERVER")
    logged = asyncio.run(read(traced.services.addresses.kafka))
    mine = [each for each in logged if each.envelope.subject == order_id]
    assert {each.envelope.tracestate for each in mine} == {"shop=web"}
    assert {each.envelope.traceparent.split("-")[1] for each in mine} == {trace}


def test_a_name_holds_no_id(traced: Traced) -> None:
    url = traced.services.url("inventory")
    httpx.put(f"{url}/stock/BLUE-VASE", json={"on_hand": 3})
    httpx.get(f"{url}/nowhere/BLUE-VASE")
    shown = until(
        lambda: [s for s in traced.receiver.spans if s.name in {"PUT /stock/{sku}", "GET"}][1:]
    )
    assert shown
    names = {span.name for span in traced.receiver.spans}
    assert not [name for name in names if "BLUE-VASE" in name]
    assert not [name for name in names if "/health" in name or "/metrics" in name]


def test_a_redriven_message_is_below_the_operators_request_with_a_link_to_its_event(
    traced: Traced,
) -> None:
    services, receiver = traced.services, traced.receiver
    order_id = _parked_at_shipping(services)
    assert operating(services, "dead-letters", "redrive", "shipping", order_id).code == 0
    settles(services, order_id)

    def redriven() -> Any:
        roots = {s.trace_id: s for s in receiver.spans if "/ops/dead-letters/redrive" in s.name}
        return [
            (roots[span.trace_id], span)
            for span in receiver.of_saga(order_id)
            if span.operation == "process" and span.trace_id in roots and not span.failed
        ]

    ((request, process),) = until(redriven)
    assert (request.parent, request.kind) == ("", "SERVER")
    assert process.parent == request.id
    created = {span.id: span for span in receiver.of_saga(order_id) if span.operation == "create"}
    (event,) = process.links
    assert created[event].trace_id != process.trace_id
    below = [span for span in receiver.of_trace(process.trace_id) if span.parent == process.id]
    made = [span.operation for span in below if SYSTEM not in span.attributes]
    assert made == ["create"]


def _parked_at_shipping(services: Services) -> str:
    """An order whose confirmation waits behind a message that was bad, and is gone."""
    (shipping,) = services.of("shipping")
    shipping.process.stop()
    order_id: str = checkout(services, wait_s=0).json()["order_id"]
    until(lambda: why(services, order_id)["states"]["payment"] == "Captured")
    good = replace(a_record(captured(an_order(order_id))), topic="payment.forward")
    sent(services, changed(good, b"{}"))
    shipping.process.start()
    services.await_ready([shipping])
    until(lambda: len(parked(services, "shipping", order_id)) == 2)
    words = ("dead-letters", "discard", "shipping", order_id, "--reason", "bad", "--yes")
    assert operating(services, *words).code == 0
    return order_id


def test_at_a_ratio_of_zero_nothing_is_exported() -> None:
    with otlp_receiver() as receiver, private_stack() as (services, _):
        start_each(services, variables=variables(receiver, "0"))
        order_id = checkout(services).json()["order_id"]
        settled(services, [order_id])
        logged = asyncio.run(read(services.addresses.kafka))
        codes = services.stop()
    assert set(codes.values()) == {0}
    assert receiver.spans == []
    flags = {each.envelope.traceparent[-2:] for each in logged if each.envelope.subject == order_id}
    assert len(flags) == 1
    assert int(flags.pop(), 16) & 1 == 0
