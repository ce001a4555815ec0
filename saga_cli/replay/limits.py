"""Up to where a service's own topic is folded."""

from saga_cli.log.source import LogPartition, Source, Span
from saga_cli.replay.errors import ReplayError
from saga_cli.replay.job import ReplayLimit


async def own_spans(source: Source, topic: str, limit: ReplayLimit) -> dict[LogPartition, Span]:
    """From its first record on. Raises ReplayError for a partition that it has not."""
    spans = await source.spans([topic])
    ends = {place: span.end for place, span in spans.items()}
    if limit.instant is not None:
        ends |= await source.offsets_at(limit.instant, spans)
    if unknown := limit.offsets.keys() - {place.partition for place in spans}:
        raise ReplayError(f"{topic} has no partition {min(unknown)}")
    return {
        place: Span(0, min(end, limit.offsets.get(place.partition, end)))
        for place, end in ends.items()
    }
