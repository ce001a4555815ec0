"""The ports to a service's own database: PostgreSQL, Redis, or memory in the simulation."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from chassis.decide import BatchResult, Snapshot
from chassis.message import (
    EffectProgress,
    Message,
    OperatorAction,
    OutboxRow,
    PendingEffect,
    Record,
)


class UnitOfWork(Protocol):
    """One change of a service's data, all or nothing. Left without a commit, it changes nothing.

    Every method raises TransientError when the database is away.
    """

    async def read(self, messages: Sequence[Message]) -> Snapshot:
        """What is known of these messages and their sagas; no shared rows."""

    async def read_shared(self, snapshot: Snapshot, keys: frozenset[str]) -> None:
        """Add shared rows to the snapshot; where the table locks them, they are locked until the end."""

    async def commit(self, result: BatchResult) -> None:
        """Write all of it, if what it was decided on is still so.

        Raises ConcurrentChangeError, with nothing written, where another has entered one of the
        messages, changed or made a row that was read, parked one of the keys, or used an idempotency
        key first. Any other error but those in `chassis.errors.OUTAGES` is the data's.
        """


class UnitsOfWork(Protocol):
    def begin(self, *, is_retry: bool = False) -> AbstractAsyncContextManager[UnitOfWork]:
        """A new unit. One that is a retry reads what the database has, whatever is cached."""


class Outbox(Protocol):
    """What waits to be published, for the one relay that leads."""

    @property
    def leads(self) -> bool:
        """Whether this process is the one that relays, as far as it knows."""

    async def lead(self) -> bool:
        """Become, or stay, the service's one relay. Says whether it is so."""

    async def resign(self) -> None:
        """Let other instances lead."""

    async def pending(
        self, limit: int, *shut: str, known: Mapping[str, OutboxRow] | None = None
    ) -> "Pending":
        """The oldest rows not yet acknowledged, in the order of decision.

        Not those of topics that are shut, nor rows that were refused, nor what follows one of its key;
        a copy of a dead letter follows none. No more than BATCH_BYTES, and one row at least. Rows
        that are `known`, by id, need not be read. Raises LeadLostError where another instance relays.
        """

    async def refuse(self, refused: Mapping[str, str]) -> None:
        """Kafka never takes these rows, by id, for these reasons: they wait for a person."""

    async def acknowledge(self, ids: Sequence[str]) -> None:
        """Kafka has these rows: they are pending no more, but kept for a time."""


@dataclass(frozen=True, slots=True)
class Pending:
    """Rows with their ids. `is_end` says that the outbox holds no more to publish now.

    `any_refused` says that it holds rows that Kafka refused.
    """

    rows: list[tuple[str, OutboxRow]]
    is_end: bool
    any_refused: bool


class EffectQueue(Protocol):
    """Effects and timers that are due."""

    async def due_effects(
        self, kinds: tuple[str, ...], limit: int, lease_s: float, *, freshest: bool = False
    ) -> list[PendingEffect]:
        """Effects to run now; nobody else gets them until the lease is over.

        One whose saga has events in the outbox still is not due: nobody outside is asked for what
        the log does not know, or a lost database would be rebuilt without it.

        The longest due come first; with `freshest` the newest of those asked the fewest times.
        """

    async def postpone(self, effect: PendingEffect, delay_s: float, error: str) -> None:
        """The effect's outcome is unknown: ask again later."""


class Positions(Protocol):
    """Where a consumer stands in the topics."""

    keeps_positions: bool
    """Whether the store keeps the next offsets to read; else Kafka does."""

    lost: bool
    """Its data are gone, or were made anew since `prepare`: a consumer has to start again."""

    async def prepare(self, stopping: asyncio.Event) -> None:
        """Called before each start of a consumer: returns when the data are complete."""

    async def positions(self) -> dict[tuple[str, int], int]:
        """The next offset to read by (topic, partition), if the store keeps positions."""

    async def reached(self, offsets: dict[tuple[str, int], int]) -> None:
        """All records before these offsets are handled, or are none of the service's business."""

    async def skipped(self) -> frozenset[tuple[str, int, int]]:
        """Topic, partition and offset of the records that a person has this service step over."""

    async def project(self, records: Sequence[Record]) -> None:
        """Fold records of a projected topic into their table, all or none."""


class Retention(Protocol):
    """What is kept for a time, and then deleted."""

    def kept(self) -> AsyncIterator[list[OutboxRow]]:
        """What is kept of what was published, in the order in which Kafka had it."""

    async def keeps_any(self) -> bool:
        """Something is kept of what was published."""

    async def rotate_partitions(self) -> None:
        """Delete what was kept long enough, and make room for what comes.

        Old is what the store's own clock says. Raises ClockInDoubtError, as `prune_inbox` does.
        """

    async def prune_inbox(self) -> int:
        """Delete some inbox entries so old that their messages come no more; how many, 0 if none is left."""


class Store(UnitsOfWork, Outbox, EffectQueue, Positions, Retention, Protocol):
    """Where a service keeps state, inbox, outbox, effects and parked messages."""

    @property
    def is_durable(self) -> bool:
        """Whether it never loses what it has committed: what a process remembers of it is true."""

    async def is_new(self) -> bool:
        """It holds no saga and no message; one that fills itself again is never new."""

    async def close(self) -> None:
        """Resign and close all connections."""

    async def backlog(self) -> "StoreBacklog":
        """What waits. Raises TransientError also where the database refuses to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreBacklog:
    """What waits in a store: of all instances of the service, not of one process.

    `effects` are those outstanding, by kind and progress; timers are none of them.
    """

    outbox_rows: int = 0
    outbox_oldest_s: float = 0.0
    outbox_refused: int = 0
    parked_messages: int = 0
    parked_keys: int = 0
    effects: Mapping[tuple[str, EffectProgress], int] = field(default_factory=dict)

    def effects_in(self, *progress: EffectProgress) -> int:
        return sum(count for (_, found), count in self.effects.items() if found in progress)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A parked message, byte for byte, and what became of each try."""

    id: str
    key: str
    record: Record
    first_reason: str
    last_reason: str
    attempts: int
    parked_at: datetime
    last_tried_at: datetime

    @property
    def origin(self) -> tuple[str, int, int]:
        """Topic, partition and offset of its record."""
        return self.record.topic, self.record.partition, self.record.offset


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row of the outbox that Kafka never takes; so many `later` ones of its key are in the outbox."""

    id: str
    row: OutboxRow
    why: str
    at: datetime
    later: int


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """A saga's state in a service's store ("Absent" if it has none), and what of it waits there."""

    state: str
    outbox_rows: int
    outbox_oldest_s: float
    parked: tuple[DeadLetter, ...]
    outstanding_effects: tuple[PendingEffect, ...]
    refused: str = ""
    """Why Kafka does not take the first of its rows that it refuses."""


class Inspection(Protocol):
    """What a person may ask of a service's store; each change leaves a row of an audit trail."""

    async def parked_keys(self) -> list[str]:
        """Keys with dead letters, the longest parked first."""

    async def dead_letters(self, key: str) -> list[DeadLetter]:
        """A key's parked messages, in the order in which they came."""

    async def discard(self, key: str, by: str, reason: str, id_: str = "") -> DeadLetter | None:
        """Remove one parked message, the first unless `id_` says which; the audit trail keeps it."""

    async def whereabouts(self, key: str) -> Whereabouts:
        """What of a key waits here."""

    async def refused(self, limit: int) -> list[RefusedRow]:
        """Rows of the outbox that Kafka refused for good, the oldest first."""

    async def release(self, id_: str, by: str, note: str) -> RefusedRow | None:
        """Let the relay try a refused row again, and what is behind it; None if it is not refused."""

    async def drop(self, id_: str, by: str, reason: str) -> RefusedRow | None:
        """Remove a refused row: it is never published. The audit trail keeps it."""

    async def expedite(self, key: str, by: str) -> int:
        """Ask a key's providers now, not when their turn comes; returns how many effects it has."""

    async def skip(self, topic: str, partition: int, offset: int, by: str, note: str) -> None:
        """Have the service step over a record: it is parked and not handled, here or when it comes.

        The audit trail has it under `topic:partition:offset`.
        """

    async def actions(self, key: str) -> list[tuple[datetime, OperatorAction]]:
        """What operators did to a key."""
