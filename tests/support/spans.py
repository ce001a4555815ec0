"""The spans that a test makes, kept in memory."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Sampler

from chassis.span_export import provider_of


@contextmanager
def recorded_spans(
    sampler: Sampler | None = None, *, statements: bool = False
) -> Iterator[InMemorySpanExporter]:
    """Tracing is on meanwhile, of all that is not dropped by its parent, or as the sampler says."""
    exporter, before = InMemorySpanExporter(), trace._TRACER_PROVIDER
    provider = provider_of(sampler, statements=statements)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace._TRACER_PROVIDER = provider
    try:
        yield exporter
    finally:
        trace._TRACER_PROVIDER = before
