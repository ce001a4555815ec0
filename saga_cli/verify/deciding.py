"""Each decision of the log that was made on a neighbour's event, made once more by today's rules.

State and message are as they were: the order's earlier events add up to the one, the neighbour's
topics hold the other. Of rows that orders share the log tells the values only roughly, as no
partition knows of another: they are first taken by the times of the events, and where that leads
to other events, the decision is moved past those that were made close by.
"""

import asyncio
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby, islice, takewhile, zip_longest
from operator import attrgetter
from typing import Any, Final, NamedTuple

from chassis.decision import Refusal
from chassis.events import Envelope, type_of
from chassis.message import VersionedState
from chassis.replay import Folded, fold
from chassis.service import Service
from saga_cli.log.reader import by_number, logged, own_events, parts_of, read_spans
from saga_cli.log.source import LogPartition, LogRecord, Source, Span
from saga_cli.progress import ReadProgress, no_progress
from saga_cli.verify.results import Difference, Ends, apart, ends_of, follows_nothing
from shared_events.catalog import CATALOG

NEAR: Final = timedelta(seconds=5)
MOVES: Final = 500
"""So far, and past so many others, a decision may stand from where its time puts it."""
RELAYED_S: Final = 10
"""So long an event may be on its way from the outbox to the log."""


@dataclass(frozen=True, slots=True)
class Window:
    since: datetime
    until: datetime

    def holds(self, instant: datetime) -> bool:
        return self.since <= instant < self.until


EVER: Final = Window(datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


@dataclass(slots=True)
class ReviewResult:
    """`external` decisions followed what is in no topic: commands, outcomes of effects, timers.

    `shared` came out as they did only with other values of what orders share than the times say.
    `quiet` are messages that led to nothing, and lead to nothing now.
    """

    service: str
    decisions: int = 0
    external: int = 0
    shared: int = 0
    quiet: int = 0
    seconds: float = 0.0
    differences: list[Difference] = field(default_factory=list)


class RecordedDecision(NamedTuple):
    """A decision as it was made; `when` never runs backwards within an order."""

    when: datetime
    events: Sequence[Envelope]

    @property
    def first(self) -> Envelope:
        return self.events[0]

    @property
    def bodies(self) -> tuple[Any, ...]:
        return tuple(envelope.event for envelope in self.events)


class ConsumedEvent(NamedTuple):
    envelope: Envelope
    is_read: bool


class CurrentDecision(NamedTuple):
    events: tuple[Any, ...]
    why: str = ""


class Mismatch(NamedTuple):
    """`shared` are the rows that orders share as the times of the events tell them."""

    step: int
    decision: RecordedDecision
    own: Any
    shared: Mapping[str, Any]
    message: Envelope
    current: CurrentDecision


class Touch(NamedTuple):
    """An event of an order, which is in some state, that changes rows that orders share.

    `refs` name them; `before` are those of them that were there.
    """

    step: int
    subject: str
    own: Any
    event: Any
    refs: frozenset[str]
    before: dict[str, Any]


STEP: Final = attrgetter("step")


async def decide_again(
    source: Source,
    service: Service,
    consumed: Ends,
    *,
    window: Window = EVER,
    progress: ReadProgress = no_progress,
    relayed_s: float = RELAYED_S,
) -> ReviewResult:
    """`consumed` are offsets up to which the service had read before this is called."""
    found = ReviewResult(service.name)
    own = await ends_of(source, service.log_topics)
    near = await ends_of(source, service.read_topics)
    progress(0, sum((own | near).values()))
    suspects: dict[str, Difference] = {}
    number = parts_of({**own, **near}) if service.combined is None else 1
    for part in _parts(service, {**own, **near}):
        neighbours = {place: span for place, span in part.items() if place in near}
        read = read_spans(source, neighbours, progress)
        events = await _consumed_by(service, read, consumed, number)
        mine = {place: span for place, span in part.items() if place in own}
        published = await _published(service, read_spans(source, mine, progress), number)
        review = PartitionReview(service, window, found, events, _recorded(published))
        review.run()
        suspects |= review.suspects()
    deadline = time.monotonic() + relayed_s
    while suspects and time.monotonic() < deadline:
        ends = await ends_of(source, service.log_topics)
        later = {place: Span(own.get(place, 0), end) for place, end in ends.items()}
        for envelope in await _published(service, read_spans(source, later, no_progress)):
            suspects.pop(envelope.causation_id, None)
        await asyncio.sleep(0.2)
    found.differences += suspects.values()
    return found


@dataclass
class PartitionReview:
    """The orders of one partition, or of all, with the events that their decisions followed."""

    service: Service
    window: Window
    found: ReviewResult
    consumed: Mapping[str, ConsumedEvent]
    decisions: Sequence[RecordedDecision]
    folded: Folded = field(default_factory=Folded)
    touches: list[Touch] = field(default_factory=list)
    mismatches: list[Mismatch] = field(default_factory=list)
    acted_on: set[str] = field(default_factory=set)

    def run(self) -> None:
        for step, decision in enumerate(self.decisions):
            self._judge(step, decision)
            self.acted_on.add(decision.first.causation_id)
            for envelope in decision.events:
                own, event = self._own(envelope.subject), envelope.event
                before = self.service.shared_rows(own, event, self.folded.shared)
                fold(self.service, [envelope], self.folded, self._left_out)
                after = self.service.shared_rows(own, event, self.folded.shared)
                if refs := frozenset(after):  # without what was left out
                    self.touches.append(Touch(step, envelope.subject, own, event, refs, before))
        for mismatch in self.mismatches:
            own, message, made = mismatch.own, mismatch.message, mismatch.decision
            now = (
                self._decided_now(own, rows, message, made.first.time)
                for rows in self._moved(mismatch)
            )
            if any(current.events == made.bodies for current in now):
                self.found.shared += 1
            else:
                self.found.differences += _differences(self.service.name, mismatch)

    def _left_out(self, envelope: Envelope, error: Exception) -> None:
        what = follows_nothing(envelope, error)
        self.found.differences.append(Difference(self.service.name, envelope.subject, *what))

    def suspects(self) -> dict[str, Difference]:
        """Messages that led to nothing, and would now; or what they led to is on its way still."""
        found = {}
        for id_, (envelope, is_read) in self.consumed.items():
            if not is_read or id_ in self.acted_on or not self.window.holds(envelope.time):
                continue
            own, key = self._own(envelope.subject), envelope.subject
            current = self._decided_now(own, self.folded.shared, envelope, envelope.time)
            if now := ", ".join(map(_named, current.events)):
                what = f"{envelope.type} led to nothing"
                found[id_] = Difference(self.service.name, key, what, "", now)
            else:
                self.found.quiet += 1
        return found

    def _judge(self, step: int, decision: RecordedDecision) -> None:
        if not self.window.holds(decision.first.time):
            return
        consumed = self.consumed.get(decision.first.causation_id)
        if consumed is None:
            self.found.external += 1
            return
        self.found.decisions += 1
        own, message = self._own(decision.first.subject), consumed.envelope
        current = self._decided_now(own, self.folded.shared, message, decision.first.time)
        if current.events != decision.bodies:
            shared = self.service.shared_rows(own, message.event, self.folded.shared)
            self.mismatches.append(Mismatch(step, decision, own, shared, message, current))

    def _moved(self, mismatch: Mismatch) -> Iterator[Mapping[str, Any]]:
        """What the decision would have met before and after others that were made close by."""
        here, rows = bisect_left(self.touches, mismatch.step, key=STEP), dict(mismatch.shared)
        for touches in self._near(mismatch, range(here - 1, -1, -1)):
            for touch in touches:
                rows = {r: row for r, row in rows.items() if r not in touch.refs} | touch.before
            yield rows
        rows = dict(mismatch.shared)
        for touches in self._near(mismatch, range(here, len(self.touches))):
            for touch in touches:
                if touch.subject != mismatch.decision.first.subject:
                    state = self.service.with_shared(touch.own, rows)
                    rows |= self.service.split(self.service.evolve(state, touch.event))[1]
            yield rows

    def _near(self, mismatch: Mismatch, places: Iterable[int]) -> Iterator[Iterable[Touch]]:
        """Touches of the decision's rows, step by step, from the decision on as long as they are close."""
        refs = self.service.shared_keys(mismatch.own, mismatch.message.event)
        touches, when = (self.touches[place] for place in places), mismatch.decision.when
        close = takewhile(lambda t: abs(self.decisions[t.step].when - when) <= NEAR, touches)
        some = islice((touch for touch in close if touch.refs & refs), MOVES)
        return (of_one_step for _, of_one_step in groupby(some, key=STEP))

    def _decided_now(
        self, own: Any, rows: Mapping[str, Any], message: Envelope, at: datetime
    ) -> CurrentDecision:
        """As the chassis asks; a rule that fails is an answer too: the message would be parked."""
        try:
            shared = self.service.shared_rows(own, message.event, rows)
            answer = self.service.decide(self.service.with_shared(own, shared), message.event, at)
        except Exception as error:  # noqa: BLE001 - see above
            return CurrentDecision((), f"{type(error).__name__}: {error}")
        if isinstance(answer, Refusal):
            return CurrentDecision((), answer.detail)
        return CurrentDecision(answer.events, answer.impossible or answer.quiet)

    def _own(self, key: str) -> Any:
        return self.folded.own.get(key, VersionedState(self.service.initial, 0)).state


def _parts(service: Service, ends: Ends) -> Sequence[Mapping[LogPartition, Span]]:
    """All as one where orders share rows; else in parts that hold all of an order."""
    spans = {place: Span(0, end) for place, end in ends.items()}
    return by_number(spans) if service.combined is None else [spans]


async def _consumed_by(
    service: Service, batches: AsyncIterator[list[LogRecord]], consumed: Ends, parts: int
) -> dict[str, ConsumedEvent]:
    """What the service reads of its neighbours, by id; what can't be read it has parked."""
    found: dict[str, ConsumedEvent] = {}
    async for batch in batches:
        for record in batch:
            is_wanted = type_of(record.headers) in service.wire_types
            if is_wanted and (event := logged(record, [], parts)):
                is_read = record.offset < consumed.get(record.place, 0)
                found.setdefault(str(event.envelope.id), ConsumedEvent(event.envelope, is_read))
    return found


async def _published(
    service: Service, batches: AsyncIterator[list[LogRecord]], parts: int = 1
) -> list[Envelope]:
    """The service's own events, each once; the comparison says which can't be read."""
    found: dict[bytes, Envelope] = {}
    async for batch in batches:
        for _, envelope in own_events(service.name, batch, lambda *_: None, parts):
            found.setdefault(envelope.id.bytes, envelope)
    return [*found.values()]


def _recorded(events: Iterable[Envelope]) -> list[RecordedDecision]:
    """Decisions by their times; those of one order by their numbers."""
    by_subject: dict[str, list[Envelope]] = {}
    for envelope in events:
        by_subject.setdefault(envelope.subject, []).append(envelope)
    found = []
    for mine in by_subject.values():
        mine.sort(key=lambda envelope: envelope.sequence)
        when = EVER.since
        for _, group in groupby(mine, key=lambda envelope: envelope.causation_id):
            of_one_cause = tuple(group)
            when = max(when, of_one_cause[0].time)
            found.append(RecordedDecision(when, of_one_cause))
    return sorted(found, key=lambda decision: decision.when)


def _differences(service: str, mismatch: Mismatch) -> Iterator[Difference]:
    key = mismatch.decision.first.subject
    for old, new in zip_longest(mismatch.decision.bodies, mismatch.current.events):
        if old != new:
            was, now = apart(_fields(old), _fields(new))
            led_to = f"{mismatch.message.type} led to {_named(old)}" if old else ""
            instead = now if new else mismatch.current.why or "none"
            yield Difference(service, key, led_to or f"{_named(new)} is new", was, instead)


def _fields(event: Any) -> dict[str, Any]:
    if event is None:
        return {}
    fields = CATALOG.entry_of(event).adapter.dump_python(event, mode="json")
    return {"type": _named(event), **fields}


def _named(event: Any) -> str:
    return CATALOG.wire_type(event)
