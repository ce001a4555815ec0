"""Whether orders are in a state: asked of a service's own store, as no service says so."""

from collections import Counter
from collections.abc import Collection

from redis.asyncio import Redis

from chassis.redis import Layout
from guarantees.declared import layout_of, tables_of
from guarantees.services import BY_NAME
from saga_cli.clients import database
from saga_cli.verify.live import hashes


async def orders_in(service: str, url: str, states: Collection[str]) -> Counter[str]:
    """How many there are in each of these states. It reads the table once, or each hash."""
    if not BY_NAME[service].has_database:
        return await _in_redis(layout_of(service), url, states)
    table, _ = tables_of(service)
    query = f"SELECT status, count(*) FROM {table.table} WHERE status = ANY($1) GROUP BY status"  # noqa: S608 - own names
    async with database(url) as connection:
        return Counter(dict(await connection.fetch(query, [*states])))


async def _in_redis(layout: Layout, url: str, states: Collection[str]) -> Counter[str]:
    found = Counter[str]()
    async with Redis.from_url(url) as redis:
        async for _, fields in hashes(redis, layout.own_key("")):
            found[fields.get(b"status", b"").decode()] += 1
    return Counter({state: count for state, count in found.items() if state in states})
