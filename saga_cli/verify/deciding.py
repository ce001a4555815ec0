"""Each decision of the log that was made on a neighbour's event, made once more by today's rules.

State and message are as they were: the order's earlier events add up to the one, the neighbour's
topic holds the other. Of rows that orders share the log tells the values only roughly, as no
partition knows of another: they are first taken by the times of the events, and where that leads
elsewhere, the decision is moved past those that were made close by.
"""

import asyncio
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby, zip_longest
from typing import Any, Final, NamedTuple

from chassis.message import Change
from chassis.replay import Folded, fold
from chassis.service import Service
from saga_cli.log.source import Place, Source, Span
from saga_cli.verify.reading import Ends, ends_of, own_events, read
from saga_cli.verify.results import Difference, Result, Told, apart, follows_nothing, nobody
from shared_events.catalog import BY_EVENT, topic_of
from shared_events.codec import MalformedError, decode_record, type_of
from shared_events.decision import Refusal
from shared_events.envelope import Envelope

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
class Decided:
    """`elsewhere` were led to by what is in no topic: commands, outcomes of effects, timers.

    `shared` came out as they did only with other values of what orders share than the times say.
    `quiet` are messages that led to nothing, and lead to nothing now.
    """

    service: str
    decisions: int = 0
    elsewhere: int = 0
    shared: int = 0
    quiet: int = 0
    seconds: float = 0.0
    differences: list[Difference] = field(default_factory=list)


class Made(NamedTuple):
    """A decision as it was made; `when` never runs backwards within an order."""

    when: datetime
    events: Sequence[Envelope]

    @property
    def at(self) -> datetime:
        return self.events[0].time

    @property
    def cause(self) -> str:
        return self.events[0].causation_id


class Heard(NamedTuple):
    envelope: Envelope
    is_read: bool


class Answer(NamedTuple):
    events: tuple[Any, ...]
    why: str = ""


class Wrong(NamedTuple):
    """`shared` are the rows that orders share as the times of the events tell them."""

    step: int
    made: Made
    own: Any
    shared: Mapping[str, Any]
    heard: Envelope
    answer: Answer


class Touch(NamedTuple):
    """An event of an order, which is in some state, that changes what orders share."""

    step: int
    subject: str
    own: Any
    event: Any


async def decide_again(
    source: Source,
    service: Service,
    consumed: Ends,
    *,
    window: Window = EVER,
    told: Told = nobody,
    relayed_s: float = RELAYED_S,
) -> Decided:
    """`consumed` are offsets up to which the service had read before this is called."""
    started, found = time.monotonic(), Decided(service.name)
    own = await ends_of(source, [topic_of(service.name)])
    near = await ends_of(source, sorted({BY_EVENT[event].topic for event in service.consumes}))
    told(0, sum((own | near).values()))
    suspects: dict[str, Difference] = {}
    for number in _lots(service, own, near):
        heard = await _heard(source, service, _only(near, number), consumed, told)
        lot = Lot(service, window, found, heard)
        lot.run(_made([e async for e in _published(source, service, _only(own, number), {}, told)]))
        suspects |= lot.suspects()
    deadline = time.monotonic() + relayed_s
    while suspects and time.monotonic() < deadline:
        ends = await ends_of(source, [topic_of(service.name)])
        async for envelope in _published(source, service, ends, own):
            suspects.pop(envelope.causation_id, None)
        await asyncio.sleep(0.2)
    found.differences += suspects.values()
    found.seconds = time.monotonic() - started
    return found


@dataclass
class Lot:
    """Orders with all that may have to do with them.

    By row that orders share: `touches` in the order of the steps, and `values` after each of them.
    """

    service: Service
    window: Window
    found: Decided
    heard: Mapping[str, Heard]
    folded: Folded = field(default_factory=Folded)
    made: Sequence[Made] = ()
    touches: dict[str, list[Touch]] = field(default_factory=dict)
    values: dict[str, list[Any]] = field(default_factory=dict)
    wrong: list[Wrong] = field(default_factory=list)
    led: set[str] = field(default_factory=set)

    def run(self, decisions: Sequence[Made]) -> None:
        self.made = decisions
        for step, made in enumerate(decisions):
            self._judge(step, made)
            self.led.add(made.cause)
            for envelope in made.events:
                own = self._own(envelope.subject)
                fold(self.service, [envelope], self.folded, self._left_out)
                for ref in self.service.references(own, envelope.event):
                    if ref not in self.folded.shared:
                        continue  # what would have made it was left out
                    touch = Touch(step, envelope.subject, own, envelope.event)
                    self.touches.setdefault(ref, []).append(touch)
                    self.values.setdefault(ref, []).append(self.folded.shared[ref])
        for wrong in self.wrong:
            if any(
                self._answer_to(wrong, rows).events == _then(wrong) for rows in self._moved(wrong)
            ):
                self.found.shared += 1
            else:
                self.found.differences += _differences(self.service.name, wrong)

    def _left_out(self, envelope: Envelope, error: Exception) -> None:
        what = follows_nothing(envelope, error)
        self.found.differences.append(Difference(self.service.name, envelope.subject, *what))

    def suspects(self) -> dict[str, Difference]:
        """Messages that led to nothing, and would now; or what they led to is on its way still."""
        found = {}
        for id_, (envelope, is_read) in self.heard.items():
            if not is_read or id_ in self.led or not self.window.holds(envelope.time):
                continue
            own, name = self._own(envelope.subject), self.service.name
            answer = self._answer(own, self.folded.shared, envelope, envelope.time)
            if answer.events:
                now = ", ".join(_named(event) for event in answer.events)
                what = f"{envelope.type} led to nothing"
                found[id_] = Difference(name, envelope.subject, what, "", now)
            else:
                self.found.quiet += 1
        return found

    def _judge(self, step: int, made: Made) -> None:
        if not self.window.holds(made.at):
            return
        heard = self.heard.get(made.cause)
        if heard is None:
            self.found.elsewhere += 1
            return
        self.found.decisions += 1
        own, message = self._own(made.events[0].subject), heard.envelope
        answer = self._answer(own, self.folded.shared, message, made.at)
        wrong = Wrong(step, made, own, self._rows(own, message.event), message, answer)
        if answer.events != _then(wrong):
            self.wrong.append(wrong)

    def _moved(self, wrong: Wrong) -> Iterator[Mapping[str, Any]]:
        """What the decision would have met before and after others that were made close by."""
        refs = sorted(self.service.references(wrong.own, wrong.heard.event))
        for step in reversed(self._steps(refs, wrong, earlier=True)):
            places = {r: bisect_left(self.touches.get(r, ()), step, key=_step) for r in refs}
            yield {r: self.values[r][nth - 1] for r, nth in places.items() if nth}
        rows = dict(wrong.shared)
        for step in self._steps(refs, wrong, earlier=False):
            for touch in {id(t.event): t for r in refs for t in self._at(r, step)}.values():
                if touch.subject != wrong.made.events[0].subject:
                    state = self.service.evolve(self.service.scoped(touch.own, rows), touch.event)
                    rows |= self.service.parted(state)[1]
            yield rows

    def _steps(self, refs: Iterable[str], wrong: Wrong, *, earlier: bool) -> list[int]:
        some: set[int] = set()
        for touches in (self.touches.get(ref, []) for ref in refs):
            here = bisect_left(touches, wrong.step, key=_step)
            near = touches[max(0, here - MOVES) : here] if earlier else touches[here : here + MOVES]
            some |= {touch.step for touch in near}
        return [n for n in sorted(some) if abs(self.made[n].when - wrong.made.when) <= NEAR]

    def _at(self, ref: str, step: int) -> Iterator[Touch]:
        touches = self.touches.get(ref, [])
        for touch in touches[bisect_left(touches, step, key=_step) :]:
            if touch.step != step:
                return
            yield touch

    def _answer_to(self, wrong: Wrong, rows: Mapping[str, Any]) -> Answer:
        return self._answer(wrong.own, rows, wrong.heard, wrong.made.at)

    def _rows(self, own: Any, message: Any) -> dict[str, Any]:
        references = self.service.references(own, message)
        return {ref: self.folded.shared[ref] for ref in references if ref in self.folded.shared}

    def _answer(self, own: Any, rows: Mapping[str, Any], message: Envelope, at: datetime) -> Answer:
        """As the chassis asks; a rule that fails is an answer too: the message would be parked."""
        try:
            references = self.service.references(own, message.event)
            shared = {ref: rows[ref] for ref in references if ref in rows}
            answer = self.service.decide(self.service.scoped(own, shared), message.event, at)
        except Exception as error:  # noqa: BLE001 - see above
            return Answer((), f"{type(error).__name__}: {error}")
        if isinstance(answer, Refusal):
            return Answer((), answer.detail)
        return Answer(answer.events, answer.impossible or answer.quiet)

    def _own(self, key: str) -> Any:
        return self.folded.own.get(key, Change(self.service.initial, 0)).state


def _then(wrong: Wrong) -> tuple[Any, ...]:
    return tuple(envelope.event for envelope in wrong.made.events)


def _step(touch: Touch) -> int:
    return touch.step


def _lots(service: Service, own: Ends, near: Ends) -> Sequence[int | None]:
    """Partition by partition, where all topics have as many and orders share nothing; else all."""
    numbers: dict[str, set[int]] = {}
    for place in (*own, *near):
        numbers.setdefault(place.topic, set()).add(place.partition)
    alike = len({frozenset(some) for some in numbers.values()}) == 1
    if not alike or service.scope is not None:
        return [None]
    return sorted(place.partition for place in own)


def _only(ends: Ends, number: int | None) -> dict[Place, int]:
    return {place: end for place, end in ends.items() if number in {None, place.partition}}


async def _heard(
    source: Source, service: Service, ends: Ends, consumed: Ends, told: Told
) -> dict[str, Heard]:
    """What the service reads of its neighbours, by id."""
    found: dict[str, Heard] = {}
    for place, end in ends.items():
        async for batch in read(source, place, Span(0, end), told):
            for record in (kept.record for kept in batch):
                if type_of(record.headers) in service.wire_types:
                    try:
                        envelope = decode_record(record)
                    except MalformedError:
                        continue  # the service has parked it
                    is_read = record.offset < consumed.get(place, 0)
                    found.setdefault(str(envelope.id), Heard(envelope, is_read))
    return found


async def _published(
    source: Source, service: Service, ends: Ends, starts: Ends, told: Told = nobody
) -> AsyncIterator[Envelope]:
    """The service's own events, each once."""
    seen: set[bytes] = set()
    for place, end in ends.items():
        if (start := starts.get(place, 0)) < end:
            async for batch in read(source, place, Span(start, end), told):
                for _, envelope in own_events(Result(service.name), batch):
                    if envelope.id.bytes not in seen:
                        seen.add(envelope.id.bytes)
                        yield envelope


def _made(events: Iterable[Envelope]) -> list[Made]:
    """Decisions by their times; those of one order in their own order."""
    by_subject: dict[str, list[Envelope]] = {}
    for envelope in events:
        by_subject.setdefault(envelope.subject, []).append(envelope)
    found = []
    for mine in by_subject.values():
        when = EVER.since
        for _, group in groupby(mine, key=lambda envelope: envelope.causation_id):
            together = tuple(group)
            when = max(when, together[0].time)
            found.append(Made(when, together))
    return sorted(found, key=lambda made: made.when)


def _differences(service: str, wrong: Wrong) -> Iterator[Difference]:
    key = wrong.made.events[0].subject
    for old, new in zip_longest(_then(wrong), wrong.answer.events):
        if old != new:
            was, now = apart(_fields(old), _fields(new))
            about = _named(new if old is None else old)
            what = f"{wrong.heard.type} led to {about}" if old else f"{about} is new"
            yield Difference(service, key, what, was, now if new else wrong.answer.why or "none")


def _fields(event: Any) -> dict[str, Any]:
    if event is None:
        return {}
    fields = BY_EVENT[type(event)].adapter.dump_python(event, mode="json")
    return {"type": _named(event), **fields}


def _named(event: Any) -> str:
    return BY_EVENT[type(event)].wire_type
