"""One service rebuilt from its log and held against its live rows, at one cut through the traffic.

The log's end is read first (E0), then the rows (at one instant), then the log's end again (E1). A
row's version counts its published events, so that it says which of the log's events it holds: all
of those before E0, or the rows are older than the log; and all it holds are in the log before E1 or
in the outbox, or the log has lost them. Events that a row does not hold yet are newer than the cut.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

from chassis.decide import effect_of
from chassis.events import Envelope, event_id
from chassis.message import VersionedState
from chassis.replay import Folded, fold
from chassis.service import Service
from guarantees.services import BY_NAME
from saga_cli.log.reader import by_number, own_events, parts_of, read_spans
from saga_cli.log.source import LogRecord, Source, Span
from saga_cli.progress import ReadProgress, no_progress
from saga_cli.verify.live import CHUNK, Live, LiveRow, chunks, shared_apart
from saga_cli.verify.results import Ends, ServiceResult, ends_of, follows_nothing, pending_events
from shared_events.catalog import CATALOG

ATTEMPTS: Final = 9
DATABASE_LACKS: Final = "the database lacks it"
LOG_LACKS: Final = "the log lacks it"
NO_ROW: Final = LiveRow(0, "", "")


async def compare(
    source: Source,
    service: Service,
    live: Live,
    before: Ends,
    progress: ReadProgress = no_progress,
) -> ServiceResult:
    """`before` are the log's ends of before the rows were read.

    Raises HoleError if the log has lost its beginning.
    """
    result, after = ServiceResult(service.name), await ends_of(source, service.log_topics)
    progress(0, sum(after.values()))
    comparison = ServiceComparison(service, live, before, result, parts_of(after))
    for part in by_number({place: Span(0, end) for place, end in after.items()}):
        async for batch in read_spans(source, part, progress):
            await comparison.take(batch)
        await comparison.end_part()
    await comparison.end()
    return result


@dataclass
class ServiceComparison:
    """The partitions of one number after the others; rows that orders share add up over all of them.

    `seen` are the events of those rows' own keys; `ahead` are events of an order, by key and number,
    whose predecessor is in another topic, further on.
    """

    service: Service
    live: Live
    before: Ends
    result: ServiceResult
    parts: int = 1
    pending: dict[str, list[Envelope]] = field(default_factory=dict)
    compared: set[str] = field(default_factory=set)
    reported: set[str] = field(default_factory=set)
    seen: set[bytes] = field(default_factory=set)
    ahead: dict[str, dict[int, Envelope]] = field(default_factory=dict)
    pruned: int = 0
    rows: dict[str, LiveRow] = field(default_factory=dict)
    folded: Folded = field(default_factory=Folded)
    caused: dict[str, Envelope] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for envelope in pending_events(self.service.log_topics, self.live.pending):
            self.pending.setdefault(envelope.subject, []).append(envelope)

    async def take(self, batch: Iterable[LogRecord]) -> None:
        own = list(own_events(self.service.name, batch, self.result.unreadable, self.parts))
        await self._look_up(envelope.subject for _, envelope in own)
        for record, envelope in own:
            self._add(envelope, in_time=record.offset < self.before.get(record.place, 0))

    async def end_part(self) -> None:
        """Add what is pending for its keys; compare its rows, and forget them."""
        for key in sorted(self.pending.keys() & self.rows.keys()):
            for envelope in self.pending.pop(key):
                self._add(envelope)
        for key, row in self.rows.items():
            self._compare(key, row)
        await self._look_for_causes()
        self.result.orders += len(self.folded.own)
        self.compared |= self.rows.keys()
        self.rows, self.caused, self.ahead = {}, {}, {}
        self.folded = Folded(shared=self.folded.shared)

    async def end(self) -> None:
        """Compare what the log does not know, and what orders share."""
        await self._look_up(self.pending)
        for envelope in chain.from_iterable(self.pending.values()):
            self._add(envelope)
        self.pending = {}
        await self.end_part()
        for key, row in await self.live.other_than(self.compared):
            self.result.rows += 1
            self._lacks(key, 0, row.version, f"{row.status} {row.detail}")
        if self.live.shared is not None:
            for key in sorted({*self.live.shared, *self.folded.shared}):
                self._compare_shared(key, self.live.shared.get(key), self.folded.shared.get(key))
        if self.pruned:
            self.result.notes.append(f"{self.pruned} causes are older than the inbox remembers")

    async def _look_up(self, keys: Iterable[str]) -> None:
        for some in chunks(set(keys) - self.rows.keys(), CHUNK):
            self.rows |= await self.live.rows(some)

    def _add(self, envelope: Envelope, *, in_time: bool = True) -> None:
        """Fold an event that the live row holds; the next one, or one that comes again."""
        key, number = envelope.subject, envelope.sequence
        if CATALOG.entry_of(envelope.event).is_of_a_saga:
            holds, has = self.rows.get(key, NO_ROW).version, self._rebuilt(key).version
            seen = self.folded.seen
        elif self.live.shared is not None:
            holds, has = map(self._count, (self.live.shared.get(key), self.folded.shared.get(key)))
            seen = self.seen
        else:
            return
        if number > holds and in_time:
            live = f"version {holds}" if holds else "no row"
            self._report(key, DATABASE_LACKS, live, f"event {number}, {envelope.type}")
        elif number > holds:
            self.result.newer += 1
        elif number > has + 1:
            if self.ahead.setdefault(key, {}).setdefault(number, envelope).id != envelope.id:
                self._report(key, *_two(envelope))
        elif number == has + 1:
            self._fold_on(envelope)
        elif number <= has and envelope.id.bytes not in seen:
            self._report(key, *_two(envelope))

    def _fold_on(self, envelope: Envelope) -> None:
        """An event that is the next of its key, and those that waited for it."""
        waiting, following = self.ahead.get(envelope.subject, {}), envelope
        while self._fold(following) and following.sequence + 1 in waiting:
            following = waiting.pop(following.sequence + 1)

    def _fold(self, envelope: Envelope) -> bool:
        try:
            fold(self.service, [envelope], self.folded)
        except (AssertionError, ValueError) as error:
            self._report(envelope.subject, *follows_nothing(envelope, error))
            return False
        self.result.events += 1
        if envelope.subject in self.folded.own:
            self.caused.setdefault(envelope.causation_id, envelope)
        else:
            self.seen.add(envelope.id.bytes)
        return True

    def _compare(self, key: str, row: LiveRow) -> None:
        self.result.rows += 1
        rebuilt = self._rebuilt(key)
        if rebuilt.version < row.version:
            self._lacks(key, rebuilt.version, row.version, row.status)
        elif apart := self.live.differs(row, rebuilt):
            self._report(key, "the row differs", *apart)
        else:
            self._compare_effects(key, rebuilt)

    def _compare_effects(self, key: str, rebuilt: VersionedState) -> None:
        """Effects and timers that the state waits for; what else is kept would come for nothing."""
        since, _ = self.folded.last[key]
        wanted = self.service.outstanding_effects(rebuilt.state, key, since)
        expected = {effect_of(self.service, key, what, "").id for what in wanted}
        if expected != (kept := self.live.effects.get(key, frozenset())):
            apart = (", ".join(sorted(ids)) for ids in (kept, expected))
            self._report(key, "outstanding effects differ", *apart)

    def _compare_shared(self, key: str, live: Any, rebuilt: Any) -> None:
        self.result.rows += live is not None
        has, holds = self._count(rebuilt), self._count(live)
        if has < holds:
            self._lacks(key, has, holds, str(live))
        elif live != rebuilt:
            self._report(key, "the row differs", *shared_apart(live, rebuilt))

    async def _look_for_causes(self) -> None:
        """Of the events that a service consumed; a command's id may be in no inbox."""
        for some in chunks(self.caused, CHUNK):
            causes = {id_: self.caused[id_] for id_ in some}
            missing = await self.live.missing_causes(causes)
            for id_ in filter(missing.__contains__, causes):
                led_to, remembers = causes[id_], self.live.remembers
                if id_ not in _consumed_ids(self.service, led_to.subject):
                    continue
                if remembers is None or led_to.time < remembers:
                    self.pruned += 1
                else:
                    why = f"the inbox lacks the cause of {led_to.type}"
                    self._report(led_to.subject, why, "", id_)

    def _lacks(self, key: str, has: int, holds: int, live: str) -> None:
        missing = f"no event {has + 1}" + (f" to {holds}" if holds > has + 1 else "")
        self._report(key, LOG_LACKS, live, missing)

    def _report(self, key: str, what: str, live: str, rebuilt: str) -> None:
        """The first difference of a key explains the others."""
        if key not in self.reported:
            self.reported.add(key)
            self.result.differ(key, what, live, rebuilt)

    def _rebuilt(self, key: str) -> VersionedState:
        return self.folded.own.get(key, VersionedState(self.service.initial, 0))

    def _count(self, shared: Any) -> int:
        return getattr(shared, BY_NAME[self.service.name].counter) if shared else 0


def _two(envelope: Envelope) -> tuple[str, str, str]:
    return f"the log has two events with the number {envelope.sequence}", "", envelope.type


def _consumed_ids(service: Service, key: str) -> set[str]:
    """The ids that events for an order have, of the types that the service reads."""
    attempts = range(1, ATTEMPTS + 1)
    return {str(event_id(key, name, n)) for name in service.wire_types for n in attempts}
