"""What the pages ask: each answer is one or a few statements, each within 300 ms at a million orders."""

import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, groupby
from operator import itemgetter
from typing import Any, Final, Self
from uuid import UUID

import asyncpg

from chassis import clock
from chassis.errors import TransientError
from chassis.events import identity_of
from chassis.postgres import TRANSIENT, Connection, PostgresDatabase
from chassis.tracing import trace_id_of
from console import flow
from console.causes import story_of
from console.filters import PagePlace, counting, cursor_of, paging, place_of
from console.fold import FIRST, FoldedOrder
from console.model import (
    Change,
    Changes,
    ConsoleAction,
    Counted,
    EdgeStanding,
    EventRow,
    Filter,
    FlowEdge,
    FlowStanding,
    FoundId,
    FoundKind,
    GroupNote,
    OrderDetail,
    OrderRow,
    Page,
    PageCursor,
    ReaderState,
)
from console.notes import notes_on, write_note
from console.passing import Passed, passing_of
from console.process import COLUMNS, ProcessEvent, cases_of
from console.store import reached_of
from saga_cli.observed.cases import Case

CAP: Final = 10_000
"""So many are counted at most."""
PAGE: Final = 50
PAST: Final = 1_000
"""A map of the past is made of so many orders at most."""
PROCESS: Final = 500
"""Of so many orders it is said how they went."""
SAMPLE: Final = 2_000
"""So many of the newest events say how fast orders pass the edges."""
NUL: Final = "\0"
FOUND_MAX: Final = 10
PREFIX: Final = 4
"""So long has the beginning of an order's id to be, to be looked for."""
WAITING: Final = """
SELECT given.edge, (SELECT count(*) FROM (SELECT FROM waits AS w WHERE w.edge = given.edge LIMIT $2) AS c),
    (SELECT min(w.since) FROM waits AS w WHERE w.edge = given.edge)
FROM unnest($1::text[]) AS given (edge)
"""
BY_STATE: Final = """
SELECT given.state, (SELECT count(*) FROM (
    SELECT FROM orders AS o WHERE o.state = given.state LIMIT $2) AS c)
FROM unnest($1::text[]) AS given (state)
"""
IN_FLIGHT: Final = """
SELECT (SELECT count(*) FROM (SELECT FROM orders AS o WHERE o.settled_at IS NULL LIMIT $1) AS c),
    (SELECT min(o.began_at) FROM orders AS o WHERE o.settled_at IS NULL)
"""
NEWEST: Final = "SELECT position, time FROM events ORDER BY position DESC LIMIT 1"
NEWEST_PASSED: Final = """
SELECT e.service, e.time, e.causation_type, coalesce(cause.type, ''), cause.time, own.time
FROM (SELECT * FROM events ORDER BY position DESC LIMIT $1) AS e
LEFT JOIN events AS cause ON cause.order_id = e.order_id AND cause.id::text = e.causation_id
LEFT JOIN events AS own ON own.order_id = e.order_id AND own.service = e.service
    AND own.sequence = e.sequence - 1
"""
PROCESS_EVENTS: Final = f"SELECT {COLUMNS} FROM events WHERE order_id = ANY($1) ORDER BY order_id"  # noqa: S608 - own names
ORDER: Final = "SELECT * FROM orders WHERE id = $1"
EVENTS: Final = "SELECT * FROM events WHERE order_id = $1 ORDER BY position"
FOUND: Final = """
(SELECT 'order' AS kind, o.id, o.id AS order_id, '' AS name FROM orders AS o WHERE o.id = $1)
UNION ALL
(SELECT 'event', e.id::text, e.order_id, e.type FROM events AS e WHERE e.id = $2 LIMIT $4)
UNION ALL
(SELECT 'trace', o.trace_id, o.id, '' FROM orders AS o WHERE o.trace_id = $3 AND o.trace_id <> '' LIMIT $4)
UNION ALL
(SELECT 'reference', r.reference, r.order_id, r.name FROM order_references AS r
    WHERE r.reference = $1 LIMIT $4)
UNION ALL
(SELECT 'customer', o.customer, '', '' FROM orders AS o WHERE o.customer = $1 LIMIT 1)
"""
BEGINNING: Final = (
    "SELECT o.id FROM orders AS o WHERE o.id >= $1 AND o.id < $2 ORDER BY o.id DESC LIMIT $3"
)
LIVED: Final = """
(SELECT o.id, o.began_at FROM orders AS o WHERE o.quiet_at IS NULL AND o.began_at <= $1
    ORDER BY o.began_at DESC LIMIT $2)
UNION ALL
(SELECT o.id, o.began_at FROM orders AS o WHERE o.quiet_at IS NOT NULL
    AND tstzrange(o.began_at, o.quiet_at, '[]') @> $1::timestamptz LIMIT $2)
"""
PAST_EVENTS: Final = """
SELECT order_id, service, sequence, type, time FROM events WHERE order_id = ANY($1) AND time <= $2
ORDER BY order_id
"""
CHANGED: Final = """
SELECT position, order_id, type, service, time FROM events WHERE position > $1 ORDER BY position LIMIT $2
"""
REASONS: Final = """
WITH RECURSIVE known AS (
    (SELECT o.reason FROM orders AS o WHERE o.reason <> '' ORDER BY o.reason LIMIT 1)
    UNION ALL
    SELECT (SELECT o.reason FROM orders AS o WHERE o.reason > known.reason AND o.reason <> ''
        ORDER BY o.reason LIMIT 1) FROM known WHERE known.reason IS NOT NULL
)
SELECT reason FROM known WHERE reason IS NOT NULL LIMIT $1
"""
NEW_ACTION: Final = (
    'INSERT INTO operator_actions ("by", action, detail, note) VALUES ($1, $2, $3, $4)'
)
ACTIONS: Final = (
    'SELECT at, "by", action, detail, note FROM operator_actions ORDER BY id DESC LIMIT $1'
)


@dataclass
class Queries:
    """Over the console's own database. Each raises TransientError of chassis.errors while it is away."""

    pool: Any
    read_by: Callable[[], ReaderState]

    @classmethod
    async def connect(cls, database: PostgresDatabase, read_by: Callable[[], ReaderState]) -> Self:
        """`read_by` says how far the log is read."""
        settings = {"jit": "off"}
        pool = await asyncpg.create_pool(
            connect=database.connect,
            min_size=1,
            max_size=4,
            command_timeout=10,
            server_settings=settings,
        )
        return cls(pool, read_by)

    async def close(self) -> None:
        await self.pool.close()

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Connection]:
        try:
            async with self.pool.acquire(timeout=5) as connection:
                yield connection
        except TRANSIENT as error:
            why = str(error) or type(error).__name__
            raise TransientError(f"the console's database does not answer: {why}") from error

    async def standing(self) -> FlowStanding:
        """Where orders stand now."""
        ids = [edge.id for edge in flow.EDGES]
        async with self._session() as db:
            waiting = {row[0]: (row[1], row[2]) for row in await db.fetch(WAITING, ids, CAP + 1)}
            states = await db.fetch(BY_STATE, [*flow.STATES[FIRST], flow.ABSENT], CAP + 1)
            flying = await db.fetchrow(IN_FLIGHT, CAP + 1)
            newest = await db.fetchrow(NEWEST)
            sample = [Passed(*row) for row in await db.fetch(NEWEST_PASSED, SAMPLE)]
        passing = passing_of(sample, clock.now(), is_complete=len(sample) < SAMPLE)

        def stands(edge: FlowEdge) -> EdgeStanding:
            number, since = waiting[edge.id]
            if (fast := passing.get(edge.id)) is None:
                return EdgeStanding(edge, _counted(number), since)
            how = (fast.rate, fast.median_ms, fast.p99_ms)
            return EdgeStanding(edge, _counted(number), since, *how)

        return FlowStanding(
            edges=tuple(map(stands, flow.EDGES)),
            states={row[0]: _counted(row[1]) for row in states if row[1]},
            in_flight=_counted(flying[0]),
            oldest_in_flight=flying[1],
            as_of=newest["time"] if newest else None,
            position=newest["position"] if newest else 0,
        )

    async def orders(
        self, wanted: Filter, cursor: PageCursor = "", limit: int = PAGE
    ) -> Page[OrderRow]:
        """Orders that meet a filter, the newest first. Raises ValueError for a cursor that is none."""
        after = place_of(cursor) if cursor else None
        if _is_of_no_text(wanted):
            return Page(())
        async with self._session() as db:
            rare = await _are_rare(db, wanted)
            sql, values = paging(wanted, after, limit + 1, clock.now(), rare_edges=rare)
            rows = await db.fetch(sql, *values)
        shown = tuple(map(_order, rows[:limit]))
        is_last = len(rows) <= limit
        place = None if is_last else PagePlace(rows[limit - 1]["began_at"], rows[limit - 1]["id"])
        return Page(shown, cursor_of(place) if place else "")

    async def count(self, wanted: Filter, cap: int = CAP) -> Counted:
        """How many meet a filter."""
        if _is_of_no_text(wanted):
            return Counted(0)
        async with self._session() as db:
            rare = await _are_rare(db, wanted)
            sql, values = counting(wanted, cap + 1, clock.now(), rare_edges=rare)
            return _counted(await db.fetchval(sql, *values), cap)

    async def order(self, order_id: str) -> OrderDetail | None:
        """One order with its events; None where none of them is known."""
        if NUL in order_id:
            return None
        async with self._session() as db:
            row = await db.fetchrow(ORDER, order_id)
            rows = await db.fetch(EVENTS, order_id)
        if row is None:
            return None
        order, story = _order(row), story_of(map(_event, rows))
        remaining = flow.remaining(order.states, flow.seen_of(row["seen"]))
        return OrderDetail(
            order=order,
            events=story.events,
            causes=story.causes,
            path=story.path,
            remaining=remaining,
        )

    async def find(self, text: str) -> tuple[FoundId, ...]:
        """What an id stands for: order, customer, event, trace, or a payment's or shipment's reference.

        Without any, orders whose ids begin with it.
        """
        wanted = text.strip()
        if not wanted or NUL in wanted:
            return ()
        given = (wanted, _uuid(wanted), trace_id_of(wanted) or wanted.lower(), FOUND_MAX)
        async with self._session() as db:
            rows = await db.fetch(FOUND, *given)
            if not rows and len(wanted) >= PREFIX:
                near = await db.fetch(BEGINNING, wanted, f"{wanted}\U0010ffff", FOUND_MAX)
                return tuple(FoundId(FoundKind.ORDER, row[0], row[0]) for row in near)
        return tuple(FoundId(FoundKind(kind), *found) for kind, *found in rows)

    async def at(self, instant: datetime) -> FlowStanding:
        """Where orders stood at an instant, by the times of their events: of those that were on their way.

        Orders that waited for nothing any more by then are not counted.
        """
        async with self._session() as db:
            lived = await db.fetch(LIVED, instant, PAST + 1)
            ids = [row[0] for row in sorted(lived, key=itemgetter(1), reverse=True)[:PAST]]
            rows = await db.fetch(PAST_EVENTS, ids, instant)
        orders = [_past(id_, events) for id_, events in groupby(rows, itemgetter(0))]
        return _standing_of(orders, instant, is_partial=len(lived) > PAST)

    async def changes_since(self, position: int, limit: int = 500) -> Changes:
        """What was read after a position, in the order in which it was read."""
        async with self._session() as db:
            rows = await db.fetch(CHANGED, position, limit + 1)
            if rows and len(rows) <= limit:
                return Changes(rows[-1]["position"], tuple(Change(*row) for row in rows))
            newest = await db.fetchval("SELECT coalesce(max(position), 0) FROM events")
        return Changes(newest, is_cut=newest != position)

    async def process(self, wanted: Filter) -> list[Case]:
        """The newest orders that meet a filter, with what led to what in them."""
        found = await self.orders(wanted, limit=PROCESS)
        async with self._session() as db:
            rows = await db.fetch(PROCESS_EVENTS, [order.id for order in found.rows])
        return list(cases_of(ProcessEvent(*row) for row in rows))

    async def reasons(self, limit: int = 100) -> tuple[str, ...]:
        """Reasons that orders have, for a filter's suggestions."""
        async with self._session() as db:
            return tuple(row[0] for row in await db.fetch(REASONS, limit))

    async def record(self, by: str, action: str, detail: str, note: str) -> None:
        """Add what a person did to the audit trail: before it is done."""
        async with self._session() as db:
            await db.execute(NEW_ACTION, by, action, detail, note)

    async def actions(self, limit: int = 100) -> tuple[ConsoleAction, ...]:
        """What people did last, the newest first."""
        async with self._session() as db:
            return tuple(ConsoleAction(*row) for row in await db.fetch(ACTIONS, limit))

    async def write_note(self, group: str, text: str, by: str) -> None:
        """On a group of failures, in place of the note that was there; an empty text removes it."""
        async with self._session() as db:
            await write_note(db, group, text, by, clock.now())

    async def notes_on(self, groups: Iterable[str]) -> Mapping[str, GroupNote]:
        """Of groups of failures that have a note, by group."""
        async with self._session() as db:
            return await notes_on(db, groups)

    async def reader(self) -> ReaderState:
        """How far the console has read the log."""
        return self.read_by()


async def _are_rare(db: Connection, wanted: Filter) -> bool:
    """Whether few orders wait on the edges of a filter."""
    if not wanted.edges:
        return True
    waiting: list[int] = [row[1] for row in await db.fetch(WAITING, sorted(wanted.edges), CAP + 1)]
    return sum(waiting) <= CAP


def _is_of_no_text(wanted: Filter) -> bool:
    """Whether it asks for what no database keeps as text, so that nothing can meet it."""
    sets = (wanted.states, wanted.steps, wanted.edges, wanted.reasons, wanted.customers)
    return any(NUL in text for text in chain(*sets, wanted.ids or (), [wanted.text]))


def _counted(number: int, cap: int = CAP) -> Counted:
    return Counted(min(number, cap), number > cap)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _order(row: Any) -> OrderRow:
    reached = reached_of(row["reached"])
    same = ("id", "state", "step", "placed_at", "settled_at", "reason", "refused_by", "customer")
    more = ("total_minor", "currency", "events", "trace_id")
    return OrderRow(
        **{name: row[name] for name in (*same, *more)},
        edges=tuple(row["edges"].split()),
        since=row["newest_at"],
        states={name: reached[name].state for name in flow.NAMES if name in reached},
    )


def _event(row: Any) -> EventRow:
    same = ("position", "order_id", "type", "service", "sequence", "time", "causation_id")
    more = ("causation_type", "topic", "partition", "offset", "trace_id")
    payload: Mapping[str, Any] = json.loads(row["payload"])
    return EventRow(
        **{name: row[name] for name in (*same, *more)}, id=str(row["id"]), payload=payload
    )


def _past(order_id: str, rows: Iterable[Any]) -> FoldedOrder:
    """An order by some of its events, as far as is needed to say where it stood."""
    order = FoldedOrder(order_id)
    for _, service, sequence, wire_type, time in rows:
        order.see(service, identity_of(wire_type), sequence, time)
    return order


def _standing_of(
    orders: Iterable[FoldedOrder], instant: datetime, *, is_partial: bool
) -> FlowStanding:
    known = [(order, order.standing()) for order in orders]
    since: dict[str, list[datetime]] = {}
    states: dict[str, int] = {}
    for _, at in known:
        states[at.state] = states.get(at.state, 0) + 1
        for edge, from_ in at.edges.items():
            since.setdefault(edge, []).append(from_)
    flying = [order.began_at for order, at in known if at.settled_at is None and order.began_at]
    newest = [order.newest_at for order, _ in known if order.newest_at]
    return FlowStanding(
        edges=tuple(
            EdgeStanding(
                e, Counted(len(since.get(e.id, ()))), min(since.get(e.id, ()), default=None)
            )
            for e in flow.EDGES
        ),
        states={state: Counted(number) for state, number in states.items()},
        in_flight=Counted(len(flying)),
        oldest_in_flight=min(flying, default=None),
        as_of=max(newest, default=None),
        position=0,
        instant=instant,
        is_partial=is_partial,
    )
