"""Batches of the log into the database: events, what they add up to, and how far was read, at once."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import starmap
from typing import Any, Final, TypeAlias

from chassis.errors import StoreLostError
from chassis.events import Envelope
from chassis.message import Record
from chassis.postgres import Connection
from chassis.tracing import trace_id_of
from console.fold import FoldedOrder, OrderReason, ReachedState, StandingOrder, references_in

Next: TypeAlias = Mapping[tuple[str, int], int]
"""By topic and partition, the first offset that is not read yet."""
OFFSETS: Final = "SELECT topic, partition, next FROM read_offsets"
NEW_EVENTS: Final = """
INSERT INTO events (order_id, service, sequence, id, type, time, causation_id, causation_type, topic,
    partition, "offset", trace_id, payload)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::uuid[], $5::text[], $6::timestamptz[],
    $7::text[], $8::text[], $9::text[], $10::int[], $11::bigint[], $12::text[], $13::text[])
ON CONFLICT DO NOTHING RETURNING order_id
"""
COLUMNS: Final = (
    "id, state, step, edges, began_at, newest_at, placed_at, settled_at, quiet_at, customer, total_minor,"
    " currency, trace_id, reason, refused_by, reason_rank, reason_at, seen, events, reached"
)
KNOWN_ORDERS: Final = f"SELECT {COLUMNS} FROM orders WHERE id = ANY($1)"  # noqa: S608 - constants
_CHANGED: Final = ", ".join(f"{c} = excluded.{c}" for c in COLUMNS.split(", ")[1:])
CHANGED_ORDERS: Final = f"""
INSERT INTO orders ({COLUMNS})
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[],
    $6::timestamptz[], $7::timestamptz[], $8::timestamptz[], $9::timestamptz[], $10::text[],
    $11::bigint[], $12::text[], $13::text[], $14::text[], $15::text[], $16::smallint[],
    $17::timestamptz[], $18::bigint[], $19::int[], $20::jsonb[])
ON CONFLICT (id) DO UPDATE SET {_CHANGED}
"""  # noqa: S608 - constants
NO_MORE_WAITS: Final = """
DELETE FROM waits USING unnest($1::text[], $2::text[]) AS gone (edge, order_id)
WHERE waits.edge = gone.edge AND waits.order_id = gone.order_id
"""
WAITS: Final = """
INSERT INTO waits (edge, order_id, since) SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[])
ON CONFLICT (edge, order_id) DO UPDATE SET since = excluded.since
"""
NEW_REFERENCES: Final = """
INSERT INTO order_references (reference, order_id, name)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) ON CONFLICT DO NOTHING
"""
NEXT_OFFSETS: Final = """
INSERT INTO read_offsets (topic, partition, next) SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[])
ON CONFLICT (topic, partition) DO UPDATE SET next = excluded.next
"""
RETURNED: Final = "DELETE FROM dropped_orders WHERE id = ANY($1) RETURNING *"
EMPTIED: Final = """
TRUNCATE orders, waits, events, order_references, dropped_orders, read_offsets RESTART IDENTITY
"""
GENERATION: Final = "SELECT generation FROM read_generation FOR SHARE"
NEXT_GENERATION: Final = "UPDATE read_generation SET generation = generation + 1"


@dataclass(slots=True)
class ReadBatch:
    """Events of orders, each with its record, and how far the log is read with them."""

    events: list[tuple[Record, Envelope]] = field(default_factory=list)
    next: dict[tuple[str, int], int] = field(default_factory=dict)


@dataclass(slots=True)
class _KnownOrder:
    """An order, and the edges on which the database has it."""

    order: FoldedOrder
    edges: frozenset[str] = frozenset()


async def next_offsets(connection: Connection) -> Next:
    return {(row[0], row[1]): row[2] for row in await connection.fetch(OFFSETS)}


async def empty(connection: Connection) -> None:
    """Forget all that is in the log, as the tables' owner: whoever reads begins anew from its start."""
    async with connection.transaction():
        await connection.execute(EMPTIED)
        await connection.execute(NEXT_GENERATION)


async def generation(connection: Connection) -> int:
    """How often all was forgotten; nobody forgets anything while the transaction lasts."""
    found: int = await connection.fetchval(GENERATION)
    return found


async def refuse_forgotten(connection: Connection, of: int) -> None:
    """Raises StoreLostError where all that was read before was forgotten since the generation `of`."""
    if await generation(connection) != of:
        raise StoreLostError("the console is rebuilt: it reads the log anew")


async def take(connection: Connection, batch: ReadBatch, of: int) -> None:
    """All of a batch or none of it; one that was taken before changes nothing. Raises as above."""
    async with connection.transaction():
        await refuse_forgotten(connection, of)
        if batch.events:
            new = await connection.fetch(
                NEW_EVENTS, *_columns(starmap(_event_row, batch.events), 13)
            )
            await _fold(connection, batch, Counter(row[0] for row in new))
        places = ((topic, partition, at) for (topic, partition), at in batch.next.items())
        await connection.execute(NEXT_OFFSETS, *_columns(places, 3))


async def _fold(connection: Connection, batch: ReadBatch, new: Counter[str]) -> None:
    ids = list(dict.fromkeys(envelope.subject for _, envelope in batch.events))
    known = {row["id"]: _known(row) for row in await connection.fetch(KNOWN_ORDERS, ids)}
    back = await connection.fetch(RETURNED, [id_ for id_ in ids if id_ not in known])
    known |= {row["id"]: _dropped(row) for row in back}
    for _, envelope in batch.events:
        if envelope.subject not in known:
            known[envelope.subject] = _KnownOrder(FoldedOrder(envelope.subject))
        known[envelope.subject].order.add(envelope)
    for id_, number in new.items():
        known[id_].order.events += number
    standing = [(each, each.order.standing()) for each in known.values()]
    rows = (_order_row(each.order, at) for each, at in standing)
    await connection.execute(CHANGED_ORDERS, *_columns(rows, 20))
    gone = ((edge, k.order.id) for k, at in standing for edge in k.edges - at.edges.keys())
    await _each(connection, NO_MORE_WAITS, list(gone))
    waits = ((edge, k.order.id, at) for k, now in standing for edge, at in now.edges.items())
    await _each(connection, WAITS, list(waits))
    found = (
        (reference, envelope.subject, name)
        for _, envelope in batch.events
        for name, reference in references_in(envelope.event).items()
    )
    await _each(connection, NEW_REFERENCES, list(found))


async def _each(connection: Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    if rows:
        await connection.execute(statement, *_columns(rows, len(rows[0])))


def _columns(rows: Iterable[tuple[Any, ...]], number: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(number)]


def _event_row(record: Record, envelope: Envelope) -> tuple[Any, ...]:
    return (
        envelope.subject,
        envelope.source[1:],
        envelope.sequence,
        envelope.id,
        envelope.type,
        envelope.time,
        envelope.causation_id,
        envelope.causation_type,
        record.topic,
        record.partition,
        record.offset,
        trace_id_of(envelope.traceparent),
        (record.value or b"").decode(),
    )


def _order_row(order: FoldedOrder, at: StandingOrder) -> tuple[Any, ...]:
    why = order.why
    return (
        order.id,
        at.state,
        at.step,
        " ".join(at.edges),
        order.began_at,
        order.newest_at,
        order.placed_at,
        at.settled_at,
        None if at.edges or at.settled_at is None else order.newest_at,
        order.customer,
        order.total_minor,
        order.currency,
        order.trace_id,
        why.reason if why else "",
        why.refused_by if why else "",
        why.rank if why else None,
        why.at if why else None,
        order.seen,
        order.events,
        json.dumps({n: (r.sequence, r.state, r.at.isoformat()) for n, r in order.reached.items()}),
    )


def _known(row: Any) -> _KnownOrder:
    rank, at = row["reason_rank"], row["reason_at"]
    order = FoldedOrder(
        row["id"],
        row["began_at"],
        row["newest_at"],
        row["placed_at"],
        row["customer"],
        row["total_minor"],
        row["currency"],
        row["trace_id"],
        None if rank is None else OrderReason(rank, at, row["reason"], row["refused_by"]),
        row["seen"],
        row["events"],
        reached_of(row["reached"]),
    )
    return _KnownOrder(order, frozenset(row["edges"].split()))


def _dropped(row: Any) -> _KnownOrder:
    """What is left of an order that was dropped."""
    order = FoldedOrder(row["id"], row["began_at"], row["newest_at"], row["placed_at"])
    order.seen, order.reached = row["seen"], reached_of(row["reached"])
    return _KnownOrder(order)


def reached_of(text: str) -> dict[str, ReachedState]:
    found: Mapping[str, tuple[int, str, str]] = json.loads(text)
    return {
        n: ReachedState(s, state, datetime.fromisoformat(at)) for n, (s, state, at) in found.items()
    }
