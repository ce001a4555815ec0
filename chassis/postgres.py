"""The store in PostgreSQL.

A batch reads what it needs, decides, and writes all of it in one statement: inbox, states, outbox and what
else follows. Whoever was slower than another writes nothing and starts over. A row of an order is
written before its outbox rows are numbered, so that no snapshot sees a later event of an order
without its earlier ones; that is why the relay may read pending rows by id.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Self

import asyncpg
import structlog

from chassis import clock, keeping, together, wire
from chassis import postgres_sql as sql
from chassis import postgres_writing as writing
from chassis.errors import (
    ClockInDoubtError,
    ConcurrentChangeError,
    UnusableStoreError,
)
from chassis.known import Known, Tried
from chassis.message import (
    ATTENTION_TRIES,
    REFUSED,
    SKIP,
    Change,
    Done,
    KeyReused,
    Message,
    OperatorAction,
    OutboxRow,
    Outcome,
    Parked,
    PendingEffect,
    Record,
    Repeated,
    skipped_places,
)
from chassis.postgres_outbox import PostgresOutbox
from chassis.postgres_pools import pools_at
from chassis.postgres_types import POISON, Connection, Pool
from chassis.service import Service
from chassis.state_tables import SharedTable, StateTable
from chassis.together import Part
from chassis.work import States, Work, dead_letters_of, work_of
from shared_events import catalog

log = structlog.get_logger()
Malformed = Sequence[tuple[Record, str]]
CONFLICTS_MAX: Final = 8


@dataclass(kw_only=True)
class PostgresStore(PostgresOutbox):
    """Made by `connect`; `on_commit` is told the outcomes and states of each committed batch."""

    service: Service
    own: StateTable
    shared: SharedTable | None
    pool: Pool
    inbox_keep_days: int = 30
    keeps_positions: bool = False
    lost: bool = False
    takes: frozenset[str] = frozenset()
    on_commit: list[Callable[[Work, States], None]] = field(default_factory=list)
    known: Known = field(init=False)

    def __post_init__(self) -> None:
        self.known = Known(self.service)
        self.letters = catalog.dead_letters_of(self.service.name)

    @classmethod
    async def connect(
        cls,
        service: Service,
        own: StateTable,
        shared: SharedTable | None,
        url: str,
        *,
        keep_days: int = 7,
        inbox_keep_days: int = 30,
    ) -> Self:
        pool, aside = await pools_at(url)
        store = cls(
            aside=aside,
            keep_days=keep_days,
            inbox_keep_days=inbox_keep_days,
            service=service,
            own=own,
            shared=shared,
            pool=pool,
        )
        if await pool.fetchval(sql.IS_BEING_REBUILT):
            await store.close()
            raise UnusableStoreError("its database is being rebuilt: see `saga replay`")
        return store

    async def is_new(self) -> bool:
        query = sql.KNOWS_ANYTHING.format(own=self.own.table)
        async with self.reading() as connection:
            return not await connection.fetchval(query)

    @property
    def pools(self) -> tuple[Pool, ...]:
        return (self.pool, self.aside)

    async def close(self) -> None:
        await self.resign()
        for pool in self.pools:
            pool.terminate()

    async def prepare(self, stopping: asyncio.Event) -> None:
        del stopping  # PostgreSQL is there with its data, or not at all

    async def handle(self, messages: Sequence[Message], malformed: Malformed = ()) -> list[Outcome]:
        """Decide on a batch in one transaction; one that poisons it is found by halves and parked.

        Where another delivery was faster it is decided anew, after a pause, so many times. Raises
        TransientError then, and when the database is away; nothing has changed.
        """
        try:
            return await self._decided(messages, malformed)
        except POISON as error:
            if messages and malformed:
                await self.handle((), malformed)
                return await self.handle(messages)
            if len(messages) > 1:
                half = len(messages) // 2
                return await self.handle(messages[:half]) + await self.handle(messages[half:])
            if not messages:
                raise  # what can be kept of them is the caller's to find
            return await self._park_alone(messages, f"{type(error).__name__}: {error}")

    async def _decided(self, messages: Sequence[Message], malformed: Malformed) -> list[Outcome]:
        for tries in range(CONFLICTS_MAX):
            try:
                async with self.translated(), self.pool.acquire() as connection:
                    done = None if malformed else await self._carry_on(connection, messages)
                    if done is None:
                        async with self._locking(connection):
                            done = await self._decide(connection, messages, malformed)
                    work, states = done
                    self._committed(work, states)
            except ConcurrentChangeError:
                if not await self._entered(messages):
                    raise
                await clock.wait(clock.backoff_s(tries, base_s=0.005, max_s=0.2))
            else:
                return work.outcomes
        raise ConcurrentChangeError(f"others were faster {CONFLICTS_MAX} times")

    def _committed(self, work: Work, states: States) -> None:
        """Before anything else runs here: whoever relays must not be faster than this is told."""
        self.known.learn(states)
        if self._leading is not None:
            self.fresh.add(work.outbox_ids, work.outbox)
        for effect in work.effects:
            if effect.needs_attention:
                log.error("effect_needs_attention", effect=effect.id, saga_id=effect.key)
        for told in self.on_commit:
            told(work, states)

    async def _entered(self, messages: Sequence[Message]) -> bool:
        """Whether the inbox has one of them by now."""
        query = "SELECT EXISTS (SELECT FROM inbox WHERE message_id = ANY($1::uuid[]))"
        async with self.reading() as connection:
            return bool(await connection.fetchval(query, [m.entry for m in messages]))

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """A connection to look things up. Raises TransientError when the database is away."""
        async with self.translated(), self.pool.acquire() as connection:
            yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with self.pool.acquire() as connection, connection.transaction():
            yield connection

    async def _carry_on(
        self, connection: Connection, messages: Sequence[Message]
    ) -> tuple[Work, States] | None:
        """In one statement, or with one before it that reads what is not known."""

        async def load(keys: set[str]) -> dict[str, Change]:
            rows = await self.own.load(connection, keys)
            if rows:
                self.fresh.doubt()
            return rows

        async def write(tried: Tried) -> None:
            if self._leading is not None:
                tried.work.hand_over(self.takes)
            parts = writing.of_inbox(messages, tried.work)
            keys = [m.key for m in messages if m.record]
            parts += writing.if_still_so(self.own, self.shared, tried, keys)
            await self._write(connection, messages, tried.work, parts)

        return await self.known.carried_on(messages, load, write)

    async def _decide(
        self, connection: Connection, messages: Sequence[Message], malformed: Malformed
    ) -> tuple[Work, States]:
        once, keys = [m.entry for m in messages if m.claim is None], [m.key for m in messages]
        row = await connection.fetchrow(self.own.reading, once, keys)
        known, parked_keys = set(row[0] or ()), set(row[1] or ())
        own = self.own.read(zip(*(column or () for column in tuple(row)[2:]), strict=True))
        settled = await self._answered(connection, messages)
        for message in messages:
            entry = message.entry
            if message.claim is None and entry in known:
                settled[id(message)] = Repeated()
            known.add(entry)  # the same id later in this batch is a repeat as well
        todo = [m for m in messages if id(m) not in settled]
        states = await self._with_shared(connection, own, todo)
        self.fresh.doubt()  # not before the locks: it may have waited for another's rows
        work = work_of(self.service, states, todo, parked_keys)
        if self._leading is not None:
            work.hand_over(self.takes)
        work.finished_effects += [m.effect_id for m in messages if m.effect_id and id(m) in settled]
        letters = [(m.record, m.key, why) for m, why in work.parked if m.record]
        letters += [(record, record.subject, why) for record, why in malformed]
        async with self._at_once(connection, is_one=not letters and not _noted(todo)):
            parts = writing.of_inbox(todo, work)
            parts += writing.of_states(self.own, self.shared, states)
            await self._write(connection, todo, work, parts)
            await self._park(connection, letters)
        decided = iter(work.outcomes)
        work.outcomes = [settled[id(m)] if id(m) in settled else next(decided) for m in messages]
        return work, states

    def _locking(self, connection: Connection) -> AbstractAsyncContextManager[Any]:
        """Rows that orders share are locked from their reading to their writing."""
        locks = self.shared is not None and self.shared.lock
        return connection.transaction() if locks else nullcontext()

    def _at_once(self, connection: Connection, *, is_one: bool) -> AbstractAsyncContextManager[Any]:
        """One statement needs no transaction, which costs two round trips."""
        alone = is_one or connection.is_in_transaction()
        return nullcontext() if alone else connection.transaction()

    async def load(self, connection: Connection, messages: Sequence[Message]) -> States:
        own = await self.own.load(connection, {m.key for m in messages})
        return await self._with_shared(connection, own, messages)

    async def _with_shared(
        self, connection: Connection, own: dict[str, Change], messages: Sequence[Message]
    ) -> States:
        states = States(own=own)
        if self.shared is not None:
            states.asked = states.references(self.service, messages)
            if states.asked:
                states.shared = await self.shared.load(connection, states.asked)
        return states

    async def write(
        self, connection: Connection, states: States, messages: Sequence[Message], work: Work
    ) -> None:
        """States, outbox, effects, answers, timeline and audit of what was decided."""
        parts = writing.of_states(self.own, self.shared, states)
        await self._write(connection, messages, work, parts)

    async def _write(
        self, connection: Connection, messages: Sequence[Message], work: Work, parts: list[Part]
    ) -> None:
        """States, and what has to be so for them to count, are the first of its parts."""
        parts += writing.of_outbox(work.outbox, after=parts)
        parts += writing.of_effects(work) + writing.of_answers(messages, work)
        if self.service.keeps_timeline:
            parts += writing.of_timeline(messages, work)
        answers = await together.run(connection, parts)
        work.outbox_ids = [str(id_) for id_ in answers.get(writing.OUTBOX, ())]
        for message, outcome in zip(messages, work.outcomes, strict=True):
            if message.operator is not None and isinstance(outcome, Done):
                await self.note(connection, message.operator)

    async def note(self, connection: Connection, action: OperatorAction) -> None:
        values = (action.by, action.action, action.key, action.note, action.detail)
        await connection.execute(sql.NOTE, *values)

    async def _publish(self, connection: Connection, rows: Sequence[OutboxRow]) -> None:
        await together.run(connection, writing.of_outbox(rows))

    async def _answered(
        self, connection: Connection, messages: Sequence[Message]
    ) -> dict[int, Outcome]:
        claims = {id(m): m.claim for m in messages if m.claim is not None}
        if not claims:
            return {}
        wanted = [(c.scope, c.key) for c in claims.values()]
        rows = await connection.fetch(sql.ANSWERED, *together.columns(wanted))
        known = {(scope, key): (print_, response) for scope, key, print_, response in rows}
        settled: dict[int, Outcome] = {}
        for message, claim in claims.items():
            if (claim.scope, claim.key) in known:
                fingerprint, response = known[claim.scope, claim.key]
                same = fingerprint == claim.fingerprint
                settled[message] = Repeated(response) if same else KeyReused()
        return settled

    async def _park(
        self, connection: Connection, records: Sequence[tuple[Record, str, str]]
    ) -> None:
        kept = []
        for record, key, why in records:
            origin = (record.topic, record.partition, record.offset, record.key, record.value)
            headers = wire.packed(record.headers)
            reason = why[:2000].replace("\0", "\\x00")
            if await connection.fetchval(sql.PARK, key, *origin, headers, reason):
                kept.append((record, why))  # else it came again, and its copy is there
        await self._publish(connection, dead_letters_of(self.service, kept))

    async def _park_alone(self, messages: Sequence[Message], why: str) -> list[Outcome]:
        async with self.translated(), self.transaction() as connection:
            await connection.fetch(sql.ENTER, [m.entry for m in messages if m.record])
            kept = [(m.record, m.key, why) for m in messages if m.record]
            await self._park(connection, kept)
        return [Parked(why) for _ in messages]

    async def project(self, records: Sequence[Record]) -> None:
        async with self.translated(), self.transaction() as connection:
            for topic, fold in self.service.projections.items():
                if some := [record for record in records if record.topic == topic]:
                    await fold(connection, some)

    async def skipped(self) -> frozenset[tuple[str, int, int]]:
        async with self.reading() as connection:
            rows = await connection.fetch(sql.SKIPPED, SKIP)
        return skipped_places(row[0] for row in rows)

    async def positions(self) -> dict[tuple[str, int], int]:
        return {}

    async def reached(self, offsets: dict[tuple[str, int], int]) -> None:
        del offsets  # Kafka keeps them

    async def kept(self) -> AsyncIterator[list[OutboxRow]]:
        async with self.translated(), self.transaction() as connection:
            async for rows in keeping.kept(connection):
                yield rows

    async def keeps_any(self) -> bool:
        async with self.reading() as connection:
            return bool(await connection.fetchval(keeping.ANY))

    async def tend(self) -> None:
        async with self.translated(), self.transaction() as connection:
            why = await keeping.tend(connection, self.keep_days)
        if why:
            raise ClockInDoubtError(why)

    async def forget(self) -> int:
        async with self.translated(), self.aside.acquire() as connection, connection.transaction():
            forgotten, why = await keeping.forget(connection, self.inbox_keep_days)
        if why:
            raise ClockInDoubtError(why)
        return forgotten

    async def due_effects(
        self, kinds: tuple[str, ...], limit: int, lease_s: float, *, freshest: bool = False
    ) -> list[PendingEffect]:
        async with self.translated(), self.aside.acquire() as connection:
            lease = timedelta(seconds=lease_s)
            query = sql.LEASE_FRESHEST if freshest else sql.LEASE_EFFECTS
            rows = await connection.fetch(query, list(kinds), limit, lease, self.letters)
        return [PendingEffect(*row) for row in rows]

    async def postpone(self, effect: PendingEffect, delay_s: float, error: str) -> None:
        query = "UPDATE effects SET due_at = now() + $2, last_error = $3 WHERE id = $1"
        async with self.translated(), self.aside.acquire() as connection:
            await connection.execute(query, effect.id, timedelta(seconds=delay_s), error[:500])

    async def backlog(self) -> dict[str, float]:
        async with self.translated(), self.aside.acquire() as connection:
            kinds = [kind.__name__ for kind in self.service.effects]
            row = await connection.fetchrow(sql.BACKLOG, kinds, ATTENTION_TRIES, REFUSED)
            if row["is_read_only"]:
                raise asyncpg.ReadOnlySQLTransactionError("its sessions are read-only")
        return dict(zip(sql.GAUGES, map(float, tuple(row)[:-1]), strict=True))


def _noted(messages: Sequence[Message]) -> bool:
    """An operator's action is written beside what it led to."""
    return any(message.operator is not None for message in messages)
