"""Loyalty's Redis, filled from its log by the service's own rebuild."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from chassis.redis import Rebuild, RedisDatabase, Server
from guarantees.declared import configured
from loyalty_svc.store import KEYS, LAYOUT
from saga_cli.log.reader import read_spans
from saga_cli.log.source import LogPartition, LogRecord, Source, Span
from saga_cli.progress import ReadProgress
from saga_cli.replay import positions
from saga_cli.replay.job import NOT_PUBLISHED, Job, Rebuilt, ReplayError


@dataclass
class PublishedTopics:
    """A service's topics from any source, as a rebuild reads it."""

    source: Source
    spans: dict[LogPartition, Span]
    progress: ReadProgress
    read: int = 0

    @property
    def starts(self) -> dict[LogPartition, int]:
        return {place: span.start for place, span in self.spans.items()}

    @property
    def reached(self) -> dict[LogPartition, int]:
        return {place: span.end for place, span in self.spans.items()}

    @property
    def end(self) -> int:
        return sum(span.end - span.start for span in self.spans.values())

    async def to_end(self) -> AsyncIterator[list[LogRecord]]:
        async for batch in read_spans(self.source, self.spans, self.progress):
            self.read += len(batch)
            yield batch


async def rebuild(job: Job, progress: ReadProgress) -> Rebuilt:
    """Raises ReplayError, HoleError, TransientError, and what the servers' clients raise."""
    service, cluster = configured(job.service), job.places.kafka
    if not job.copy:
        await positions.refuse_members(cluster, service.name)
    source = job.opened()
    topics = PublishedTopics(source, await job.spans(source), progress)
    progress(0, topics.end)
    redis = Server(RedisDatabase.at(job.url)).client()
    try:
        await _prepare(job, redis)
        filling = Rebuild(
            service,
            LAYOUT,
            redis,
            cluster,
            report=lambda _words: None,
            settle_s=0,
            opened=lambda: nullcontext(topics),
            to_the_end=not job.limit,
        )
        await filling.complete(asyncio.Event(), known=True)
    finally:
        await redis.aclose()
    folded = filling.folded
    return Rebuilt(service.name, len(folded.seen), len(folded.own), len(folded.shared))


async def _prepare(job: Job, redis: Any) -> None:
    """Without an epoch the data count as lost, and what there is of them is removed."""
    if not await redis.exists(KEYS.epoch):
        return
    if not job.in_place:
        raise ReplayError("this Redis is not empty: rebuild into a new one, or --in-place")
    if waiting := await redis.xlen(KEYS.outbox):
        raise ReplayError(f"{waiting} {NOT_PUBLISHED}")
    await redis.set(KEYS.rebuild_begun, "replay")
    await redis.delete(KEYS.epoch)
