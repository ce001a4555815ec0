"""Settings and states in which the log could come to have a hole. No IO."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from guarantees.durations import lasting
from guarantees.services import SERVICES
from saga_cli.log.reader import TOPICS
from saga_cli.log.source import LogPartition, Span
from shared_events.catalog import CATALOG

FOR_EVER: Final = -1
EVENTS: Final = frozenset(TOPICS)
REBUILT_FROM: Final = {
    topic: m.name for m in SERVICES if not m.has_database for topic in CATALOG.log_of(m.name)
}
"""A Redis that has lost its data is filled from Kafka by its own service, which knows no archive."""


@dataclass(frozen=True, slots=True)
class TopicRetention:
    """How long the broker keeps a topic; -1 is for ever."""

    ms: int = FOR_EVER
    bytes: int = FOR_EVER
    compacted: bool = False

    @property
    def ends(self) -> bool:
        """A compacted topic that is not cut as well keeps the newest of each key for ever."""
        return self.ms != FOR_EVER or self.bytes != FOR_EVER

    @property
    def kept(self) -> timedelta | None:
        return None if self.ms == FOR_EVER else timedelta(milliseconds=self.ms)


@dataclass(frozen=True, slots=True)
class ParkedRecords:
    """What a service has parked of one topic, and when the oldest was."""

    service: str
    topic: str
    number: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class Facts:
    """`halfway` are the first offsets that are younger than half of their topic's retention.

    `archived` is from where, and up to where, the archive has no gap, None without an archive; `read`
    is what each service has committed. Inboxes don't count: what comes again, the states refuse.
    """

    now: datetime
    topics: Mapping[str, TopicRetention]
    spans: Mapping[LogPartition, Span]
    halfway: Mapping[LogPartition, int]
    archived: Mapping[LogPartition, Span] | None
    read: Mapping[str, Mapping[LogPartition, int]]
    parked: tuple[ParkedRecords, ...] = ()


def refusals(facts: Facts) -> list[str]:
    """Why these settings are not safe now, one line each; none if they are."""
    return [*_settings(facts), *_archive(facts), *_readers(facts), *_letters(facts)]


def _settings(facts: Facts) -> Iterator[str]:
    for topic, kept in sorted(facts.topics.items()):
        if topic not in EVENTS:
            continue
        if kept.compacted:
            yield f"{topic} is compacted: older events of an order are removed"
        if kept.bytes != FOR_EVER:
            yield f"{topic} keeps {kept.bytes} bytes: it is cut by traffic, not by time"
        if kept.ends and facts.archived is None:
            yield f"{topic} is cut, and there is no archive"
        elif kept.ends and topic in REBUILT_FROM:
            yield f"{topic} is cut: {REBUILT_FROM[topic]} rebuilds a lost Redis from Kafka alone"


def _archive(facts: Facts) -> Iterator[str]:
    """What is neither archived nor in Kafka, and what may not be in Kafka for long."""
    for place, span in sorted(facts.spans.items()):
        if place.topic not in EVENTS:
            continue
        has = (facts.archived or {}).get(place, Span(0, 0))
        if has.start or has.end < span.start:
            lost = has.start or span.start - has.end
            yield f"{place}: {lost} records were cut and not archived"
        elif facts.archived is not None and has.end < facts.halfway.get(place, 0):
            late = facts.halfway[place] - has.end
            yield f"{place}: {late} records not archived after half of its retention"


def _readers(facts: Facts) -> Iterator[str]:
    for service, offsets in sorted(facts.read.items()):
        for place, done in sorted(offsets.items()):
            span = facts.spans.get(place, Span(0, 0))
            if done < span.start:
                yield f"{place}: {span.start - done} records were cut before {service} read them"
            elif done < facts.halfway.get(place, 0):
                late = facts.halfway[place] - done
                yield f"{place}: {service} has not read {late} after half of its retention"


def _letters(facts: Facts) -> Iterator[str]:
    for each in facts.parked:
        kept = facts.topics.get(each.topic, TopicRetention()).kept
        age = facts.now - each.oldest
        if kept is not None and age > kept:
            what = f"{each.service} has parked {each.number} of {each.topic}"
            past, limit = (lasting(span.total_seconds()) for span in (age, kept))
            yield f"{what}, the oldest for {past}, which is kept {limit}"
