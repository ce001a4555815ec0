"""Each decision of the log that was made on a neighbour's event, made once more by today's rules.

State and message are as they were: the order's earlier events add up to the one, the neighbour's
topic holds the other. Of rows that orders share the log tells the values only roughly, as no
partition knows of another: they are first taken by the times of the events, and where that leads
elsewhere, as they were at any instant close by.
"""

import asyncio
import time
from bisect import bisect_right
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
from saga_cli.verify.results import Difference, Result, Told, apart, nobody
from shared_events.catalog import BY_EVENT, topic_of
from shared_events.codec import decode, type_of
from shared_events.decision import Refusal
from shared_events.envelope import Envelope

NEAR: Final = timedelta(seconds=5)
"""Within it, decisions may have been made in another order than that of their times."""
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
    made: Made
    own: Any
    heard: Envelope
    answer: Answer


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
    """Orders with all that may have to do with them."""

    service: Service
    window: Window
    found: Decided
    heard: Mapping[str, Heard]
    folded: Folded = field(default_factory=Folded)
    history: dict[str, tuple[list[datetime], list[Any]]] = field(default_factory=dict)
    wrong: list[Wrong] = field(default_factory=list)
    led: set[str] = field(default_factory=set)

    def run(self, decisions: Iterable[Made]) -> None:
        for made in decisions:
            self._judge(made)
            self.led.add(made.cause)
            for envelope in made.events:
                own = self._own(envelope.subject)
                fold(self.service, [envelope], self.folded)
                for ref in self.service.references(own, envelope.event):
                    times, values = self.history.setdefault(ref, ([], []))
                    times.append(made.when)
                    values.append(self.folded.shared[ref])
        for wrong in self.wrong:
            if self._depends_on_others(wrong):
                self.found.shared += 1
            else:
                self.found.differences += _differences(self.service.name, wrong)

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

    def _judge(self, made: Made) -> None:
        if not self.window.holds(made.at):
            return
        heard = self.heard.get(made.cause)
        if heard is None:
            self.found.elsewhere += 1
            return
        self.found.decisions += 1
        own = self._own(made.events[0].subject)
        answer = self._answer(own, self.folded.shared, heard.envelope, made.at)
        if answer.events != tuple(envelope.event for envelope in made.events):
            self.wrong.append(Wrong(made, own, heard.envelope, answer))

    def _depends_on_others(self, wrong: Wrong) -> bool:
        refs = self.service.references(wrong.own, wrong.heard.event)
        first, last = wrong.made.when - NEAR, wrong.made.when + NEAR
        times = {
            t for ref in refs for t in self.history.get(ref, ([], []))[0] if first <= t <= last
        }
        then = tuple(envelope.event for envelope in wrong.made.events)
        return any(
            self._answer(wrong.own, self._shared_at(refs, t), wrong.heard, wrong.made.at).events
            == then
            for t in sorted({first, *times} if refs else ())
        )

    def _shared_at(self, refs: Iterable[str], instant: datetime) -> dict[str, Any]:
        found = {}
        for ref in refs:
            times, values = self.history.get(ref, ([], []))
            if nth := bisect_right(times, instant):
                found[ref] = values[nth - 1]
        return found

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
                    envelope = decode(record.value, record.headers)
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
    then = tuple(envelope.event for envelope in wrong.made.events)
    for old, new in zip_longest(then, wrong.answer.events):
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
