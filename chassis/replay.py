"""A service's state as a fold of what it has published: no decision, no effect, no IO."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from chassis.decide import effect_of
from chassis.events import Envelope
from chassis.message import PendingEffect, VersionedState
from chassis.service import Service
from chassis.tracing import joined

LeftOut: TypeAlias = Callable[[Envelope, Exception], None]
"""Is given an event that was not folded, and why."""


@dataclass(slots=True)
class Folded:
    """Own states by key, shared rows by id, and by key the ids of the messages that led to them."""

    own: dict[str, VersionedState] = field(default_factory=dict)
    shared: dict[str, Any] = field(default_factory=dict)
    causes: dict[str, set[str]] = field(default_factory=dict)
    seen: set[bytes] = field(default_factory=set)
    last: dict[str, tuple[datetime, str]] = field(default_factory=dict)
    """By key, when its last event was decided, and in which trace."""


@dataclass(slots=True)
class InTurn:
    """Events of a log in the order of their numbers, each once.

    Where events were put back, a later one of a subject may stand before them: it waits for its turn.
    """

    last: dict[str, int] = field(default_factory=dict)
    ahead: dict[str, dict[int, Envelope]] = field(default_factory=dict)

    def take(self, published: Iterable[Envelope]) -> Iterator[Envelope]:
        for envelope in published:
            if not envelope.sequence:  # of a release that did not number them
                yield envelope
                continue
            waiting = self.ahead.setdefault(envelope.subject, {})
            if envelope.sequence > self.last.get(envelope.subject, 0):
                waiting[envelope.sequence] = envelope
            yield from self._following(envelope.subject)

    def waits(self, envelope: Envelope) -> bool:
        """Whether an event that was taken is not in turn yet."""
        return envelope.sequence in self.ahead.get(envelope.subject, ())

    def first_ahead(self) -> list[Envelope]:
        """Of each subject that waits, the event behind what is missing."""
        return [waiting[min(waiting)] for _, waiting in sorted(self.ahead.items())]

    def go_on(self, subject: str) -> Iterator[Envelope]:
        """The events of a subject that wait, without what is missing before the first of them."""
        self.last[subject] = min(self.ahead[subject]) - 1
        yield from self._following(subject)

    def _following(self, subject: str) -> Iterator[Envelope]:
        last, waiting = self.last.get(subject, 0), self.ahead[subject]
        while (following := waiting.pop(last + 1, None)) is not None:
            last += 1
            yield following
        self.last[subject] = last
        if not waiting:
            del self.ahead[subject]


def fold(
    service: Service,
    published: Iterable[Envelope],
    onto: Folded,
    left_out: LeftOut | None = None,
) -> Folded:
    """Add events of the service, in the order of each subject; a repeat of a publish adds nothing.

    An event that the rules can't follow, or that the service does not publish, raises what they raise,
    or is left out and given to `left_out` with it.
    """
    for envelope in published:
        if envelope.id.bytes in onto.seen:
            continue
        onto.seen.add(envelope.id.bytes)
        try:
            _add(service, envelope, onto)
        except Exception as error:
            if left_out is None:
                raise
            left_out(envelope, error)
    return onto


def _add(service: Service, envelope: Envelope, onto: Folded) -> None:
    event, key = envelope.event, envelope.subject
    if type(event) not in service.publishes:
        raise ValueError(f"{service.name} does not publish {envelope.type}")
    row = onto.own.get(key, VersionedState(service.initial, 0))
    shared = service.shared_rows(row.state, event, onto.shared)
    own, shared_after = service.split(service.evolve(service.with_shared(row.state, shared), event))
    onto.shared.update(shared_after)
    if service.catalog.entry_of(event).is_of_a_saga:
        onto.own[key] = VersionedState(own, max(row.version, envelope.sequence))
        onto.causes.setdefault(key, set()).add(envelope.causation_id)
        onto.last[key] = (envelope.time, joined(envelope.traceparent, envelope.tracestate))


def outstanding_effects(
    service: Service, folded: Folded
) -> Iterator[tuple[PendingEffect, datetime]]:
    """Effects and timers that the folded states wait for, and since when."""
    for key, row in folded.own.items():
        since, traceparent = folded.last[key]
        for what in service.outstanding_effects(row.state, key, since):
            yield effect_of(service, key, what, traceparent), since
