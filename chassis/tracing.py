"""W3C trace context from the request to every hop, kept as text with each event and effect.

A context is a `traceparent`, and after a blank the `tracestate` where there is one; "" is none. Without an
exporter (`chassis/span_export.py`) what came in is passed on as it is, and nothing is invented. With one,
the context is that of a span, and whether spans are recorded is the sampler's to say. Baggage is never
passed on. `chassis/spans.py` has the spans.
"""

import logging
import re
from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any, Final, Protocol

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

SCHEMA: Final = "https://opentelemetry.io/schemas/1.44.0"
NOT_SAMPLED: Final = frozenset("02468ace")
"""Last digits of the flags of a context whose spans are not recorded."""
BY_ID: Final = re.compile(r"BatchSampler\{ParentBased\{root:TraceIdRatioBased\{")
FLAGS_END: Final = 54
TRACESTATE_MAX: Final = 512
"""Characters of it that are passed on, as W3C asks for at least; beyond, its last entries are left out."""
_propagator: Final = TraceContextTextMapPropagator()
logging.getLogger("opentelemetry.trace.span").setLevel(logging.ERROR)
"""Its warnings repeat what is malformed in a caller's `tracestate`: that is left out, and not logged."""
trace.get_tracer_provider()  # one that the environment names is set at its first look-up


IN_SCOPE: Final = "chassis.trace_context"
"""In a request's scope: the context of a trace that begins with it and is not recorded."""


class RequestHeaders(Protocol):
    def get(self, key: str, /) -> str | None: ...

    def getlist(self, key: str, /) -> list[str]: ...


class TracedRequest(Protocol):
    scope: MutableMapping[str, Any]

    @property
    def headers(self) -> RequestHeaders: ...


def is_on() -> bool:
    """Whether there is an exporter of spans."""
    provider = trace._TRACER_PROVIDER  # noqa: SLF001 - without one, a look-up reads the environment
    return type(provider).__name__ == "TracerProvider"


def may_record(context: str) -> bool:
    """Whether a span below the context could be recorded: then the sampler is asked.

    It is not asked where its answer is known: one that follows the parent drops what the parent dropped.
    """
    return is_on() and not (is_dropped(context) and _follows_parents(_sampler()))


def is_dropped(context: str) -> bool:
    """Whether it says that its span is not recorded."""
    return context[FLAGS_END : FLAGS_END + 1] in NOT_SAMPLED


def carried(traceparent: str | None, tracestate: str = "") -> str:
    """A caller's context where it is valid, "" else; always in the form of version 00.

    A later version may be of any length, and what is stored goes with each event of the order.
    """
    return text_of(_span_context({"traceparent": traceparent or "", "tracestate": tracestate}))


def of_request(request: TracedRequest, saga_id: str) -> str:
    """The context of the request's server span; without an exporter, the caller's."""
    if begun := request.scope.get(IN_SCOPE):
        return str(begun)
    if is_on() and (server := trace.get_current_span()).get_span_context().is_valid:
        server.set_attribute("saga.id", saga_id)
        return text_of(server.get_span_context())
    headers = request.headers
    return carried(headers.get("traceparent"), ",".join(headers.getlist("tracestate")))


def records_statements() -> bool:
    """Whether database statements are spans too."""
    return getattr(_sampler(), "records_statements", False)


def begun_dropped() -> str:
    """The context of a new trace that is not recorded; "" for one that is, whose id the next root has."""
    provider: Any = trace._TRACER_PROVIDER  # noqa: SLF001 - as above
    ids, id_ = provider.id_generator, provider.id_generator.generate_trace_id()
    decided = provider.sampler.should_sample(Context(), id_, "", trace.SpanKind.SERVER)
    if decided.decision.is_sampled():
        ids.chosen = id_
        return ""
    return text_of(trace.SpanContext(id_, ids.generate_span_id(), is_remote=False))


def goes_by_id() -> bool:
    """Whether a new trace's id is all that its sampler looks at."""
    return _goes_by_id(_sampler())


def here(default: str) -> str:
    """The context of the span that is open in this task; the default where it is not recorded."""
    if is_on():
        span = trace.get_current_span()
        if span.is_recording() or not default:
            return text_of(span.get_span_context())
    return default


def resumed(context: str) -> str:
    """A saga's context that a request goes on with, and its span links to; without one, the request's."""
    if not context:
        return here("")
    if is_on() and (to := parsed(context)).is_valid:
        trace.get_current_span().add_link(to)
    return context


def text_of(context: trace.SpanContext) -> str:
    """As it is kept; "" for an invalid one."""
    if not context.is_valid:
        return ""
    traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    tracestate = context.trace_state.to_header() if context.trace_state else ""
    while len(tracestate) > TRACESTATE_MAX:
        tracestate = tracestate.rpartition(",")[0]
    return joined(traceparent, tracestate)


def joined(traceparent: str, tracestate: str) -> str:
    return f"{traceparent} {tracestate}" if traceparent and tracestate else traceparent


def parsed(context: str) -> trace.SpanContext:
    """Of a context as it is kept; an invalid one for what is none."""
    traceparent, _, tracestate = context.partition(" ")
    return _span_context({"traceparent": traceparent, "tracestate": tracestate})


def below(context: str) -> Context:
    """Where a span starts whose parent is the context; without one it is a root."""
    return trace.set_span_in_context(trace.NonRecordingSpan(parsed(context)), Context())


def tracer() -> trace.Tracer:
    return _tracer(trace._TRACER_PROVIDER)  # noqa: SLF001 - as above


def trace_id_of(context: str) -> str:
    """32 hexadecimal digits; "" for what is no context."""
    return context.split("-")[1] if context.partition(" ")[0].count("-") == 3 else ""  # noqa: PLR2004


def log_fields(context: str) -> dict[str, str]:
    """As OpenTelemetry has them at the top level of a line of JSON; none without a context."""
    found = parsed(context) if context else trace.INVALID_SPAN_CONTEXT
    return fields_of(found)


def fields_of(context: trace.SpanContext) -> dict[str, str]:
    if not context.is_valid:
        return {}
    return {
        "trace_id": f"{context.trace_id:032x}",
        "span_id": f"{context.span_id:016x}",
        "trace_flags": f"{context.trace_flags:02x}",
    }


def _span_context(carrier: dict[str, str]) -> trace.SpanContext:
    given = {name: text for name, text in carrier.items() if text}
    return trace.get_current_span(_propagator.extract(given, Context())).get_span_context()


def _sampler() -> Any:
    return getattr(trace._TRACER_PROVIDER, "sampler", None)  # noqa: SLF001 - as above


@lru_cache(maxsize=8)
def _follows_parents(sampler: Any) -> bool:
    """By what it says of itself, as a `parentbased_*` of OTEL_TRACES_SAMPLER does."""
    return "remoteParentNotSampled:AlwaysOffSampler" in sampler.get_description()


@lru_cache(maxsize=8)
def _goes_by_id(sampler: Any) -> bool:
    """As `parentbased_traceidratio` does, in a provider of `chassis/span_export.py`."""
    return sampler is not None and BY_ID.match(sampler.get_description()) is not None


@lru_cache(maxsize=8)
def _tracer(provider: Any) -> trace.Tracer:
    found: trace.Tracer = provider.get_tracer("chassis", schema_url=SCHEMA)
    return found
