"""The context of a trace: from a request to its command, kept as text, and in lines of the log."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
import structlog
from fastapi import FastAPI
from opentelemetry.context import Context
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import SpanKind
from starlette.requests import Request
from structlog.testing import capture_logs

from chassis import tracing
from chassis.bus import Bus
from chassis.message import Decided, Message
from chassis.postgres.store import PostgresStore
from chassis.process import logs
from chassis.process.fast_paths import Core
from chassis.process.runtime import Node
from chassis.secret import Secret
from order_svc import api
from order_svc.service import SERVICE as ORDER
from order_svc.settings import Settings
from saga_cli.demo import a_checkout
from tests.support.callers import open_gate
from tests.support.records import TRACE
from tests.support.spans import recorded_spans


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    with recorded_spans() as found:
        yield found


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
        extras={},
        stopping=None,
    )
    return api.make(cast("Node", node), cast("PostgresStore", KnownCustomers()), settings)


def a_request(headers: dict[str, str]) -> Request:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": raw})


def test_without_an_exporter_nothing_is_invented_and_what_came_in_is_passed_on() -> None:
    for broken in ("", "rubbish", "00-0-0-01", None):
        assert tracing.carried(broken) == ""
        assert tracing.of_request(a_request({"traceparent": broken or ""}), "o-1") == ""
    dropped = f"{TRACE[:-1]}0"
    request = a_request({"traceparent": dropped, "tracestate": "a=1", "baggage": "who=alice"})
    assert tracing.of_request(request, "o-1") == f"{dropped} a=1"


@pytest.mark.parametrize("tail", ["", "-" + "x" * 400])
def test_a_context_of_a_later_version_is_stored_in_the_form_and_length_of_ours(tail: str) -> None:
    """It goes with each event of the order: a client must not choose its length."""
    assert tracing.carried(f"01{TRACE[2:]}{tail}") == TRACE


def test_a_tracestate_is_kept_up_to_the_length_that_others_have_to_take() -> None:
    most = ",".join(f"k{n}={'v' * 48}" for n in range(10, 19))
    assert tracing.carried(TRACE, most) == f"{TRACE} {most}"
    assert tracing.carried(TRACE, f"{most},more={'v' * 80}") == f"{TRACE} {most}"
    assert tracing.carried(TRACE, f"more={'v' * 4000}") == TRACE
    assert tracing.carried("", most) == ""


@pytest.mark.parametrize("malformed", ["a=1,a=1", "no-value", "\ud800=1", "a=\x00"])
def test_a_malformed_tracestate_writes_no_line_of_the_log(
    malformed: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert tracing.carried(TRACE, malformed).split(" ")[0] == TRACE
    assert caplog.text == ""


async def test_a_request_without_a_context_is_the_root_of_a_trace_and_keeps_its_tracestate(
    exporter: InMemorySpanExporter,
) -> None:
    commands: list[Message] = []

    async def execute(command: Message) -> Decided:
        commands.append(command)
        return Decided((), None, b'{"customer_id":"alice"}')

    app = order_app(execute)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://o") as http:
        await http.post("/orders/o-1/cancel")
        given = {"traceparent": TRACE, "tracestate": "a=1, b=2", "baggage": "who=alice"}
        await http.post("/orders/o-1/cancel", headers=given)
        for unseen in ("/health/live", "/metrics"):
            assert (await http.get(unseen)).status_code == 200
    (root, below), (first, second) = exporter.get_finished_spans(), commands
    assert root.parent is None
    assert first.traceparent == tracing.text_of(root.context)
    assert below.parent is not None
    assert second.traceparent == f"{tracing.text_of(below.context).partition(' ')[0]} a=1,b=2"


async def test_at_a_ratio_of_zero_no_span_is_made_here_or_by_whoever_follows() -> None:
    with recorded_spans(ParentBased(TraceIdRatioBased(0))) as exporter:
        begun, carried, above = await asked_of_each_kind()
        for command in (begun, carried):
            assert tracing.is_dropped(command.traceparent)
            assert not tracing.may_record(command.traceparent)
        assert carried.traceparent == f"{TRACE[:-1]}0 a=1"
        (span,) = exporter.get_finished_spans()  # of a caller whose trace is recorded
        assert above.traceparent == tracing.text_of(span.context)


@pytest.mark.long(3)
async def test_a_trace_that_the_sampler_takes_has_the_id_that_it_was_asked_about() -> None:
    """At half of all traces a second question about another id would leave a quarter."""
    sampler = NotingSampler(0.5)
    with recorded_spans(ParentBased(sampler)) as exporter:
        taken = 0
        for _ in range(40):
            exporter.clear()
            sampler.asked.clear()
            begun = (await asked_of_each_kind())[0]
            roots = [span for span in exporter.get_finished_spans() if span.parent is None]
            taken += len(roots)
            assert len(roots) == (not tracing.is_dropped(begun.traceparent))
            assert [tracing.text_of(span.context) for span in roots] in ([], [begun.traceparent])
            assert sampler.asked == {int(begun.traceparent.split("-")[1], 16)}
    assert 5 < taken < 35


class NotingSampler(TraceIdRatioBased):
    """Notes the ids of traces that it was asked about."""

    def __init__(self, rate: float) -> None:
        super().__init__(rate)
        self.asked: set[int] = set()

    def should_sample(
        self, parent_context: Context | None, trace_id: int, *more: Any, **named: Any
    ) -> SamplingResult:
        self.asked.add(trace_id)
        return super().should_sample(parent_context, trace_id, *more, **named)


async def asked_of_each_kind() -> list[Message]:
    """The commands of a request without a context, with one that is dropped, and one that is recorded."""
    commands: list[Message] = []

    async def execute(command: Message) -> Decided:
        commands.append(command)
        return Decided((), None, b'{"customer_id":"alice"}')

    dropped = {"traceparent": f"{TRACE[:-1]}0", "tracestate": "a=1"}
    app = order_app(execute)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://o") as http:
        for headers in ({}, dropped, {"traceparent": TRACE}):
            await http.post("/orders/o-1/cancel", headers=headers)
    return commands


def test_a_log_line_has_the_trace_at_its_top_level(exporter: InMemorySpanExporter) -> None:
    fields = {"trace_id": TRACE[3:35], "span_id": TRACE[36:52], "trace_flags": "01"}
    assert tracing.log_fields(f"{TRACE} a=1") == fields
    assert tracing.log_fields("") == tracing.log_fields("rubbish") == {}
    with capture_logs([logs.with_trace]) as lines, tracing.tracer().start_as_current_span("s"):
        structlog.get_logger().info("in a span")
        structlog.get_logger().info("of another", **fields)
    (span,) = exporter.get_finished_spans()
    assert lines[0] == {
        "event": "in a span",
        "log_level": "info",
        "trace_id": f"{span.context.trace_id:032x}",
        "span_id": f"{span.context.span_id:016x}",
        "trace_flags": f"{span.context.trace_flags:02x}",
    }
    assert lines[1] == {"event": "of another", "log_level": "info", **fields}
