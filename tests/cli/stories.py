"""A service decided by its own rules in memory: its log, its rows, and a snapshot of them."""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Literal, TypeAlias

from chassis import ids
from chassis.decide import adapter_of
from chassis.events import Envelope
from chassis.message import Message, OutboxRow, Record
from chassis.postgres.state_tables import StateTable
from chassis.service import Service
from saga_cli.log.source import LogPartition, LogRecord, Span
from saga_cli.verify.live import InPostgres, LiveRow
from shared_events.catalog import CATALOG
from shared_events.codec import decode
from tests.support.deciding import Decider
from tests.support.records import TRACE, a_record

AT = datetime(2026, 1, 1, 12, 0, 1, tzinfo=UTC)
ReadOrder: TypeAlias = Literal["as appended", "topic by topic", "last topic first"]
"""In which order the records of several topics come; those of one topic always come in their own."""


@dataclass
class StoryLog:
    """Topics of one partition each; `grows` is called once, when somebody has asked for the ends."""

    records: dict[str, list[Record]] = field(default_factory=dict)
    grows: Callable[[], None] | None = None
    order: ReadOrder = "topic by topic"
    appended: dict[tuple[str, int], int] = field(default_factory=dict)

    def append(self, row: OutboxRow | Record) -> None:
        kept = self.records.setdefault(row.topic, [])
        key = row.key.encode() if isinstance(row.key, str) else row.key
        self.appended[row.topic, len(kept)] = len(self.appended)
        kept.append(Record(row.topic, 0, len(kept), key, row.value, tuple(row.headers)))

    async def spans(self, topics: Iterable[str]) -> dict[LogPartition, Span]:
        found = {LogPartition(t, 0): Span(0, len(self.records.get(t, ()))) for t in topics}
        grows, self.grows = self.grows, None
        if grows:
            grows()
        return found

    async def read(self, spans: Mapping[LogPartition, Span]) -> AsyncIterator[list[LogRecord]]:
        found = [
            LogRecord(r.topic, 0, r.offset, r.key, r.value, r.headers, self.appended[t, r.offset])
            for (t, _), span in sorted(spans.items(), reverse=self.order == "last topic first")
            for r in self.records.get(t, [])[span.start : span.end]
        ]
        if self.order == "as appended":
            found.sort(key=lambda kept: kept.timestamp_ms)
        for _, batch in groupby(found, key=lambda kept: kept.place):
            yield [*batch]

    async def offsets_at(
        self, instant: datetime, places: Iterable[LogPartition]
    ) -> Mapping[LogPartition, int]:
        raise NotImplementedError


@dataclass(slots=True)
class StubSnapshot(InPostgres):
    """Rows that a test may spoil."""

    stored: dict[str, LiveRow] = field(default_factory=dict)
    inbox: set[str] = field(default_factory=set)

    async def rows(self, keys: Collection[str]) -> dict[str, LiveRow]:
        return {key: self.stored[key] for key in keys if key in self.stored}

    async def other_than(self, compared: Collection[str]) -> list[tuple[str, LiveRow]]:
        return [(key, row) for key, row in self.stored.items() if key not in compared]

    async def missing_causes(self, causes: Mapping[str, Envelope]) -> set[str]:
        return causes.keys() - self.inbox


@dataclass
class ServiceStory:
    """What a service consumed, one after the other, and what came of it."""

    service: Service
    table: StateTable
    log: StoryLog = field(default_factory=StoryLog)
    decider: Decider = field(init=False)
    inbox: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.decider = Decider(self.service)

    def consume(self, *bodies: Any, relayed: bool = True) -> list[OutboxRow]:
        """Events of neighbours are in their topics; what is not relayed waits in the outbox."""
        waiting = []
        for body in bodies:
            for row in self.decider.decide(self._message(body)).outbox:
                if relayed:
                    self.log.append(row)
                else:
                    waiting.append(row)
        return waiting

    def _message(self, body: Any) -> Message:
        if type(body) not in CATALOG.by_event:
            key = getattr(body, "sku", "") or body.order_id
            id_ = ids.derived_id(ids.new_id())
            return Message(id=id_, key=key, body=body, at=AT, traceparent=TRACE)
        record = a_record(body)
        self.log.append(record)
        id_ = decode(record.value, record.headers).id
        self.inbox.add(str(id_))
        return Message(id=id_, key=record.subject, body=body, at=AT, traceparent=TRACE)

    def snapshot(self, pending: Iterable[OutboxRow] = ()) -> StubSnapshot:
        stored = {}
        for key, row in self.decider.own.items():
            if row.version:
                kind = type(row.state)
                detail = adapter_of(kind).dump_json(row.state).decode()
                columns = self.table.columns_of(row.state)
                stored[key] = LiveRow(row.version, kind.__name__, detail, columns)
        shared, since = dict(self.decider.shared), datetime.min.replace(tzinfo=UTC)
        waiting = list(pending)
        inbox, table = set(self.inbox), self.table
        return StubSnapshot(waiting, shared, since, {}, stored, inbox, connection=None, table=table)
