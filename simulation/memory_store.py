"""The store in memory, on a simulated database: what PostgreSQL does for a service, without it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from chassis.errors import LeadLostError, TransientError
from chassis.events import dead_letters_of
from chassis.message import SKIP, OutboxRow, PendingEffect, Record, skipped_places
from chassis.postgres import SharedTable
from chassis.service import Service
from chassis.store import Pending, StoreBacklog
from simulation.database import Client, Database, OutboxEntry, Transaction
from simulation.due import IsFree
from simulation.memory_unit import MemoryUnit
from simulation.process import servers_now


@dataclass(eq=False)
class MemoryStore(Client):
    """One process's store."""

    service: Service
    database: Database
    shared: SharedTable | None = None
    keeps_positions: bool = False
    lost: bool = False
    is_durable: bool = True
    keep_days: int = 7
    inbox_keep_days: int = 30
    leading: int | None = None

    def __post_init__(self) -> None:
        self.database.clients.append(self)

    @property
    def leads(self) -> bool:
        return self.leading == self.connection

    async def prepare(self, stopping: asyncio.Event) -> None:
        del stopping

    async def is_new(self) -> bool:
        database = self.database
        return not (database.own or database.inbox or database.outbox)

    async def close(self) -> None:
        await self.resign()
        self.database.disconnected(self)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Commits at the end of the block; whatever is raised in it rolls all back."""
        async with Transaction(self) as transaction:
            yield transaction
            await transaction.commit()

    @asynccontextmanager
    async def _alone(
        self, statement: str, connection: int | None = None
    ) -> AsyncIterator[Transaction]:
        """Bookkeeping: a statement that is its own transaction, committed lazily."""
        async with Transaction(self, statement, connection, is_lazy=True) as transaction:
            yield transaction
            await transaction.settle()

    @asynccontextmanager
    async def begin(self, *, is_retry: bool = False) -> AsyncIterator[MemoryUnit]:
        del is_retry  # it reads what the database has in any case
        async with Transaction(self) as transaction:
            yield MemoryUnit(transaction, self.shared)

    async def project(self, records: Sequence[Record]) -> None:
        """The newest record of a key counts; a tombstone erases."""
        async with self.transaction() as transaction:
            for record in records:
                await transaction.statement("project")
                key = (record.topic, record.subject)
                if record.value is None:
                    transaction.delete("projected", key)
                else:
                    transaction.put("projected", key, record)

    async def skipped(self) -> frozenset[tuple[str, int, int]]:
        actions = [action for _, action in self.database.actions.values()]
        return skipped_places(action.key for action in actions if action.action == SKIP)

    async def positions(self) -> dict[tuple[str, int], int]:
        return {}

    async def reached(self, offsets: dict[tuple[str, int], int]) -> None:
        del offsets

    async def lead(self) -> bool:
        if self.leading is not None:
            return True
        await self.ask("lead")
        if self.database.leader is not None:
            return False
        self.database.leader = self
        self.leading = self.connection
        return True

    async def resign(self) -> None:
        self._drop()

    def _drop(self) -> None:
        self.leading = None
        if self.database.leader is self:
            self.database.leader = None

    @contextmanager
    def _as_leader(self) -> Iterator[int]:
        """The connection that leads: if it fails, the right to relay is gone."""
        if self.leading is None:
            raise LeadLostError("the session that led was given up")
        try:
            yield self.leading
        except TransientError:
            self._drop()
            raise

    async def pending(
        self, limit: int, *shut: str, known: Mapping[str, OutboxRow] | None = None
    ) -> Pending:
        del known  # nothing is saved by it
        with self._as_leader() as connection:
            await self.ask("pending", connection)
        free = list(self._publishable(shut))
        any_refused = any(line.refused for line in self.database.outbox.values())
        return Pending(free[:limit], len(free) < limit, any_refused)

    def _publishable(self, shut: Sequence[str]) -> Iterator[tuple[str, OutboxRow]]:
        """Not what was refused, nor what is behind it."""
        letters, held = dead_letters_of(self.service.name), set[str]()
        for id_, (row, _, refused) in sorted(self.database.outbox.items()):
            if refused and row.topic != letters:
                held.add(row.key)
                continue
            is_free = row.topic == letters or row.key not in held
            if is_free and not refused and row.topic not in shut:
                yield str(id_), row

    async def refuse(self, refused: Mapping[str, str]) -> None:
        with self._as_leader() as connection:
            async with self._alone("refuse", connection) as transaction:
                for id_, why in refused.items():
                    line: OutboxEntry | None = transaction.get("outbox", int(id_))
                    if line is not None:
                        transaction.put("outbox", int(id_), line._replace(refused=why))

    async def acknowledge(self, ids: Sequence[str]) -> None:
        with self._as_leader() as connection:
            async with self._alone("acknowledge", connection) as transaction:
                for id_ in map(int, ids):
                    line = transaction.get("outbox", id_)
                    transaction.delete("outbox", id_)
                    if line is not None and self.keep_days:
                        transaction.put("published", id_, OutboxEntry(line.row, transaction.at))

    async def kept(self) -> AsyncIterator[list[OutboxRow]]:
        kept = self.database.published
        yield [kept[id_].row for id_ in sorted(kept, key=lambda id_: (kept[id_].at, id_))]

    async def keeps_any(self) -> bool:
        return bool(self.database.published)

    async def rotate_partitions(self) -> None:
        async with self._alone("rotate") as transaction:
            oldest = transaction.at - timedelta(days=self.keep_days)
            for id_, line in self.database.published.items():
                if line.at < oldest:
                    transaction.delete("published", id_)

    async def prune_inbox(self) -> int:
        async with self._alone("prune") as transaction:
            oldest = transaction.at - timedelta(days=self.inbox_keep_days)
            old = [id_ for id_, at in self.database.inbox.items() if at < oldest]
            for id_ in old:
                transaction.delete("inbox", id_)
        return len(old)

    async def due_effects(
        self, kinds: tuple[str, ...], limit: int, lease_s: float, *, freshest: bool = False
    ) -> list[PendingEffect]:
        async with self._alone("lease") as transaction:
            now = transaction.at
            longest_due = partial(self.database.due.take, self.database.effects)
            find = self._freshest if freshest else longest_due
            leased = [
                replace(effect, due_at=now + timedelta(seconds=lease_s), tries=effect.tries + 1)
                for effect in find(kinds, now, limit, self._is_free())
            ]
            for effect in leased:
                transaction.put("effects", effect.id, effect)
        return leased

    def _freshest(
        self, kinds: Sequence[str], now: datetime, limit: int, is_free: IsFree
    ) -> list[PendingEffect]:
        due = [
            (effect.tries, now - effect.due_at, effect)
            for effect in self.database.effects.values()
            if effect.due_at is not None and effect.due_at <= now
            if effect.kind in kinds and is_free(effect)
        ]
        due.sort(key=lambda ranked: ranked[:2])
        return [effect for _, _, effect in due[:limit]]

    def _is_free(self) -> IsFree:
        """Nobody holds it, and all that was decided on its order is published."""
        locks = self.database.locks
        unpublished = self._unpublished()
        return lambda effect: ("effects", effect.id) not in locks and effect.key not in unpublished

    def _unpublished(self) -> set[str]:
        letters = dead_letters_of(self.service.name)
        rows = (line.row for line in self.database.outbox.values())
        return {row.key for row in rows if row.topic != letters}

    async def postpone(self, effect: PendingEffect, delay_s: float, error: str) -> None:
        async with self._alone("postpone") as transaction:
            row: PendingEffect | None = await transaction.locked("effects", effect.id)
            if row is not None:
                due_at = transaction.at + timedelta(seconds=delay_s)
                later = replace(row, due_at=due_at, last_error=error[:500])
                transaction.put("effects", row.id, later)

    async def backlog(self) -> StoreBacklog:
        await self.ask("backlog")
        database, now = self.database, servers_now()
        kinds = self.service.stored_kinds(self.service.effects)
        oldest = min((line.at for line in database.outbox.values()), default=now)
        outstanding = [e for e in database.effects.values() if e.kind in kinds]
        return StoreBacklog(
            outbox_rows=len(database.outbox),
            outbox_oldest_s=(now - oldest).total_seconds(),
            outbox_refused=sum(bool(line.refused) for line in database.outbox.values()),
            parked_messages=len(database.parked),
            parked_keys=len({letter.key for letter in database.parked.values()}),
            effects=Counter((effect.kind, effect.progress) for effect in outstanding),
        )
