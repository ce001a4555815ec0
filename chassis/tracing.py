"""W3C trace context from the request to every hop; spans where an OTEL_* exporter is set.

FastAPI makes one server span of each HTTP request, named by method and route template. The context is
stored with each outbox row, so the span at relay time never mixes sagas.
"""

import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_propagator: Final = TraceContextTextMapPropagator()
trace.get_tracer_provider()  # one that the environment names is set at its first look-up


def configure(service: str, exporter: object | None = None) -> None:
    """Export spans by OTLP where the environment names an endpoint; else spans cost nothing."""
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - only paid for where wanted
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter  # noqa: PLC0415

    if exporter is None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )

        exporter = OTLPSpanExporter()
    assert isinstance(exporter, SpanExporter)
    provider = TracerProvider(resource=Resource.create({"service.name": f"{service}-svc"}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)


def is_recording() -> bool:
    provider = trace._TRACER_PROVIDER  # noqa: SLF001 - without one, a look-up reads the environment
    return type(provider).__name__ == "TracerProvider"


def started(traceparent: str | None) -> str:
    """The caller's trace context where it is valid, else a new one; always in the form of version 00.

    A later version may be of any length, and what is stored goes with each event of the order.
    """
    if traceparent and (given := _context_of(traceparent)).is_valid:
        return f"00-{given.trace_id:032x}-{given.span_id:016x}-{given.trace_flags:02x}"
    fresh = secrets.token_hex(24)
    return f"00-{fresh[:32]}-{fresh[32:]}-01"


def of_request(traceparent: str | None, saga_id: str) -> str:
    """The context of the request's server span; where none is recorded, the caller's, or a new one."""
    if is_recording() and (server := trace.get_current_span()).get_span_context().is_valid:
        server.set_attribute("saga.id", saga_id)
        return _current(started(None))
    return started(traceparent)


def span(name: str, traceparent: str, saga_id: str) -> AbstractContextManager[str]:
    """A span below `traceparent`; gives the context that goes with what follows."""
    if is_recording():
        return _recorded(name, traceparent, saga_id)
    return nullcontext(traceparent)


@contextmanager
def _recorded(name: str, traceparent: str, saga_id: str) -> Iterator[str]:
    parent = _propagator.extract({"traceparent": traceparent})
    tracer = trace.get_tracer("chassis")
    with tracer.start_as_current_span(name, context=parent, attributes={"saga.id": saga_id}):
        yield _current(traceparent)


def _current(default: str) -> str:
    """The context of the span that is open in this task."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get("traceparent", default)


def trace_id_of(traceparent: str) -> str:
    return traceparent.split("-")[1] if traceparent.count("-") == 3 else ""  # noqa: PLR2004


def _context_of(traceparent: str) -> trace.SpanContext:
    carrier = {"traceparent": traceparent}
    return trace.get_current_span(_propagator.extract(carrier)).get_span_context()
