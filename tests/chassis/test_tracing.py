"""Spans of every hop of an order, in one trace, named after its saga."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from chassis import tracing
from chassis.bus import Bus
from chassis.decide import Snapshot, decide_batch
from chassis.message import Decided, Message
from chassis.postgres.store import PostgresStore
from chassis.process.fast_paths import Core
from chassis.process.runtime import Node
from chassis.secret import Secret
from order_svc import api
from order_svc.service import SERVICE as ORDER
from order_svc.settings import Settings
from saga_cli.demo import a_checkout
from shared_events.codec import decode
from shipping_svc.service import SERVICE
from tests.support.callers import open_gate
from tests.support.records import TRACE, a_message, an_order, captured
from tests.support.spans import recorded_spans


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    with recorded_spans() as found:
        yield found


def test_a_hop_is_a_span_below_the_message_and_above_its_events(
    exporter: InMemorySpanExporter,
) -> None:
    order = an_order()
    event = captured(order)
    work = decide_batch(SERVICE, Snapshot(), [a_message(event)])
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


@pytest.mark.parametrize("fast_path", [True, False])
@pytest.mark.parametrize("path", ["/checkout", "/orders/{order_id}/cancel"])
async def test_a_command_is_below_the_one_server_span_of_its_request(
    exporter: InMemorySpanExporter, path: str, *, fast_path: bool
) -> None:
    commands: list[Message] = []

    async def execute(command: Message) -> Decided:
        commands.append(command)
        return Decided((), None, b'{"customer_id":"alice"}')

    app = order_app(execute, fast_paths="all" if fast_path else "none")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://o") as http:
        url, headers = path.format(order_id="o-1"), {"traceparent": TRACE}
        answer = await http.post(url, json=a_checkout(), headers=headers)
    assert answer.status_code in {201, 202}
    (span,), (command,) = exporter.get_finished_spans(), commands
    assert (span.name, span.kind) == (f"POST {path}", SpanKind.SERVER)
    assert span.attributes is not None
    assert span.attributes["saga.id"] == command.key
    trace_id, span_id = f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"
    assert command.traceparent.split("-")[1:3] == [trace_id, span_id]
    assert (trace_id, span.parent and f"{span.parent.span_id:016x}") == tuple(TRACE.split("-")[1:3])


class KnownCustomers:
    """A store that knows each customer by their own name, and nothing else."""

    @asynccontextmanager
    async def reading(self) -> AsyncIterator["KnownCustomers"]:
        yield self

    async def fetch(self, _query: str, names: list[str]) -> list[tuple[str, str]]:
        return [(name, name) for name in names]


def order_app(execute: Callable[[Message], Awaitable[Any]], **changes: Any) -> FastAPI:
    """The order service's API on a store that knows customers alone."""
    settings = Settings(
        kafka_bootstrap="k:1", database_url=Secret("postgresql://o:o@d/o"), auth="off", **changes
    )
    commands = SimpleNamespace(execute=execute)
    absent: Any = None
    core = Core(Bus(), absent, absent, absent, settings.fast_paths)
    node = SimpleNamespace(
        service=ORDER,
        operations=None,
        commands=commands,
        conditions=None,
        core=core,
        gate=open_gate(),
    )
    return api.make(cast("Node", node), cast("PostgresStore", KnownCustomers()), settings)


def test_a_broken_trace_header_starts_a_new_trace() -> None:
    assert tracing.started(TRACE) == TRACE
    for broken in ("", "rubbish", "00-0-0-01", None):
        fresh = tracing.started(broken)
        assert tracing.started(fresh) == fresh


@pytest.mark.parametrize("tail", ["", "-" + "x" * 400])
def test_a_context_of_a_later_version_is_stored_in_the_form_and_length_of_ours(tail: str) -> None:
    """It goes with each event of the order: a client must not choose its length."""
    assert tracing.started(f"01{TRACE[2:]}{tail}") == TRACE
