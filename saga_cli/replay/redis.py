"""Loyalty's Redis, filled from its log by the service's own rebuild."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from chassis.errors import TransientError
from chassis.events import topic_of
from chassis.message import Record
from chassis.redis import Rebuild, Server
from guarantees.declared import configured
from loyalty_svc.store import KEYS, LAYOUT
from saga_cli.log.opened import opened
from saga_cli.log.source import LogPartition, Source, Span
from saga_cli.progress import ReadProgress
from saga_cli.replay import positions
from saga_cli.replay.job import NOT_PUBLISHED, Job, Rebuilt, ReplayError


@dataclass
class PublishedTopic:
    """A service's topic from any source, as a rebuild reads it."""

    source: Source
    spans: dict[LogPartition, Span]
    progress: ReadProgress
    reached: dict[LogPartition, int] = field(default_factory=dict)
    read: int = 0

    @property
    def starts(self) -> dict[LogPartition, int]:
        return {place: span.start for place, span in self.spans.items()}

    @property
    def end(self) -> int:
        return sum(span.end - span.start for span in self.spans.values())

    async def to_end(self) -> AsyncIterator[list[Record]]:
        for place, span in self.spans.items():
            left = Span(self.reached.get(place, span.start), span.end)
            async for batch in self.source.read(place, left):
                self.read += len(batch)
                self.progress(len(batch), 0)
                yield [kept.record for kept in batch]
            self.reached[place] = span.end


def rebuild(job: Job, progress: ReadProgress) -> Rebuilt:
    """Raises ReplayError, HoleError, and what the servers' clients raise."""
    try:
        return asyncio.run(_rebuild(job, progress))
    except TransientError as error:
        raise ReplayError(str(error)) from error


async def _rebuild(job: Job, progress: ReadProgress) -> Rebuilt:
    started = time.monotonic()
    service, bootstrap = configured(job.service), job.places.kafka_bootstrap
    if not job.copy:
        await positions.refuse_members(bootstrap, service.name)
    source = opened(job.places, job.archive)
    spans = await job.limit.spans(source, topic_of(service.name))
    progress(0, sum(span.end - span.start for span in spans.values()))

    @asynccontextmanager
    async def published() -> AsyncIterator[PublishedTopic]:
        yield PublishedTopic(source, spans, progress)

    redis = Server().client(job.url)
    try:
        await _prepare(job, redis)
        filling = Rebuild(
            service, LAYOUT, redis, bootstrap, lambda _words: None, opened=published, settle_s=0
        )
        await filling.complete(asyncio.Event(), known=True)
    finally:
        await redis.aclose()
    folded = filling.folded
    counts = (len(folded.seen), len(folded.own), len(folded.shared))
    return Rebuilt(service.name, *counts, seconds=time.monotonic() - started)


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
