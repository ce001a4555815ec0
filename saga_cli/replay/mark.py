"""How far a rebuild is, in the database that it fills.

The table is there from the first row written until the last one: a rebuild that was killed goes on
with the partitions that are missing, up to the ends that it began with, and a service that finds
the table does not start.
"""

from collections.abc import Iterable
from typing import Any, Final

from pydantic_core import from_json, to_json

from chassis.postgres import Connection
from saga_cli.log.source import LogPartition, Span
from saga_cli.replay.job import ReplayError

IS_THERE: Final = "SELECT to_regclass('replay_progress') IS NOT NULL"
CREATE: Final = """
CREATE TABLE replay_progress (
    topic text, partition int, first bigint NOT NULL, "end" bigint NOT NULL,
    up_to text NOT NULL, folded jsonb, PRIMARY KEY (topic, partition)
)
"""
PLAN: Final = """
INSERT INTO replay_progress (topic, partition, first, "end", up_to) VALUES ($1, $2, $3, $4, $5)
"""
PLANNED: Final = """
SELECT topic, partition, first, "end", up_to, folded IS NOT NULL FROM replay_progress
ORDER BY topic COLLATE "C", partition
"""
IS_FOLDED: Final = """
SELECT folded IS NOT NULL FROM replay_progress WHERE topic = $1 AND partition = $2 FOR UPDATE
"""
FOLDED: Final = "UPDATE replay_progress SET folded = $3 WHERE topic = $1 AND partition = $2"


async def begin(connection: Connection, spans: dict[LogPartition, Span], up_to: str) -> None:
    await connection.execute(CREATE)
    rows = [(*place, *span, up_to) for place, span in sorted(spans.items())]
    await connection.executemany(PLAN, rows)


async def planned(connection: Connection, up_to: str) -> dict[LogPartition, tuple[Span, bool]]:
    """The span of each partition, and whether it is folded; {} if no rebuild was begun."""
    if not await connection.fetchval(IS_THERE):
        return {}
    rows = await connection.fetch(PLANNED)
    if others := {other for *_, other, _ in rows} - {up_to}:
        begun = others.pop() or "the end of the log"
        raise ReplayError(f"a rebuild up to {begun} was begun here: finish that, or empty it")
    return {LogPartition(t, p): (Span(first, end), done) for t, p, first, end, _, done in rows}


async def is_folded(connection: Connection, places: Iterable[LogPartition]) -> bool:
    """Of places folded together; held until the transaction ends, so that nobody folds them twice."""
    return bool(await connection.fetchval(IS_FOLDED, *min(places)))


async def folded(
    connection: Connection, places: Iterable[LogPartition], counts: dict[str, Any]
) -> None:
    """`counts` are of all of them."""
    first, *others = sorted(places)
    await connection.execute(FOLDED, *first, to_json(counts).decode())
    await connection.executemany(FOLDED, [(*place, "{}") for place in others])


async def all_folded(connection: Connection) -> list[dict[str, Any]]:
    rows = await connection.fetch("SELECT folded FROM replay_progress")
    return [from_json(row[0]) for row in rows]


async def end(connection: Connection) -> None:
    await connection.execute("DROP TABLE replay_progress")
