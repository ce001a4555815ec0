"""Spans by OTLP to where the environment says, at the rate that it says. Loaded only where that is set."""

from collections.abc import Sequence

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, NonRecordingSpan, SpanKind
from opentelemetry.util.types import Attributes


class BatchSampler(Sampler):
    """Records the span of a batch, which has links and no parent, where it would one of its messages.

    By itself it would begin a trace, and at 1 % be missing beside 99 % of the orders that are recorded.
    `records_statements` is asked by whoever has one of the database.
    """

    def __init__(self, of_messages: Sampler, *, records_statements: bool = False) -> None:
        self.of_messages, self.records_statements = of_messages, records_statements

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: trace.TraceState | None = None,
    ) -> SamplingResult:
        ask, more = self.of_messages.should_sample, (name, kind, attributes, links, trace_state)
        if not links or trace.get_current_span(parent_context).get_span_context().is_valid:
            return ask(parent_context, trace_id, *more)
        for link in links:
            below = trace.set_span_in_context(NonRecordingSpan(link.context), Context())
            if ask(below, link.context.trace_id, *more).decision is Decision.RECORD_AND_SAMPLE:
                return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)
        return SamplingResult(Decision.DROP)

    def get_description(self) -> str:
        return f"BatchSampler{{{self.of_messages.get_description()}}}"


class TraceIds(RandomIdGenerator):
    """Random ids; a trace has the one that was `chosen` for it, if one was."""

    chosen: int = 0

    def generate_trace_id(self) -> int:
        chosen, self.chosen = self.chosen, 0
        return chosen or super().generate_trace_id()


def provider_of(
    sampler: Sampler | None = None, resource: Resource | None = None, *, statements: bool = False
) -> TracerProvider:
    """With the environment's sampler (OTEL_TRACES_SAMPLER) unless one is given."""
    provider = TracerProvider(sampler, resource, id_generator=TraceIds())
    provider.sampler = BatchSampler(provider.sampler, records_statements=statements)
    return provider


def configure(service: str, *, statements: bool = False) -> None:
    resource = Resource.create({"service.name": f"{service}-svc"})
    provider = provider_of(resource=resource, statements=statements)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
