"""Years of settled orders: the rows of real ones, each time under new ids, as if of earlier hours.

`published` is left as it is: no order's way reads it, it has no index, and it is dropped by the day.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final
from urllib.parse import urlsplit

import psutil
from redis import Redis

from bench.rig import PrintLine
from guarantees.services import WITH_DATABASE
from saga_cli.clients import database
from saga_cli.topology import BY_NAME, Addresses

MORE: Final = {"order": ("timeline", "idempotency_keys")}
TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    name: (manifest.table, "inbox", *MORE.get(name, ())) for name, manifest in WITH_DATABASE.items()
}
EARLIER: Final = """
CREATE OR REPLACE FUNCTION earlier(id text, copy bigint) RETURNS text IMMUTABLE LANGUAGE sql AS $$
SELECT left(hex, 8) || '-' || right(hex, 4) || substr(id, 14) FROM (
    SELECT lpad(to_hex(('x' || left(id, 8) || substr(id, 10, 4))::bit(48)::bigint - copy * 3600000), 12, '0')
) AS moved(hex) $$
"""
"""Ids of orders and entries of the inbox begin with milliseconds; a copy is so many hours older."""
COLUMNS: Final = """
SELECT column_name, data_type FROM information_schema.columns
WHERE table_schema = 'public' AND table_name = $1 AND is_identity = 'NO' ORDER BY ordinal_position
"""
STATED: Final = frozenset({"timeline", *(m.table for m in WITH_DATABASE.values())})
REAL: Final = "WHERE order_id ~ '^[0-9a-f]{8}-'"
"""Beside orders there is what became of a product or its stock, under its SKU."""
AT_ONCE: Final = 50_000
OF_MEMORY: Final = 4
"""Redis is given a quarter of what is free: it writes its file again beside what it holds."""
PREFIX: Final = "loyalty:order:"


@dataclass
class Filler:
    addresses: Addresses
    print_line: PrintLine
    orders: int = 0
    in_redis: int = 0
    _copies: int = 0
    _keys: list[bytes] = field(default_factory=list)

    def grow(self, orders: int) -> None:
        """Until there are about so many orders more than real ones."""
        if not orders:
            return
        asyncio.run(self._grow(orders))
        self._grow_redis(orders)

    async def _grow(self, orders: int) -> None:
        for service, tables in TABLES.items():
            parts = urlsplit(self.addresses.postgres_url)
            url = parts._replace(path=f"/{BY_NAME[service].database}").geturl()
            async with database(url) as connection:
                template = await _templates(connection, tables)
                wanted = orders // template
                for table in tables:
                    self.print_line(f"growth: {service}.{table} to {orders} orders")
                    await _copy(connection, table, self._copies, wanted, AT_ONCE // template or 1)
                await connection.execute("VACUUM ANALYZE")
                await connection.execute("CHECKPOINT")
        self._copies, self.orders = wanted, template * wanted

    def _grow_redis(self, orders: int) -> None:
        number = BY_NAME["loyalty"].redis_database
        with Redis.from_url(f"{self.addresses.redis_url}/{number}") as redis:
            self._keys = self._keys or list(redis.scan_iter(f"{PREFIX}????????-*", count=1000))
            held: Any = redis.memory_usage(self._keys[0])
            most = psutil.virtual_memory().available // OF_MEMORY // held
            self.print_line(f"growth: Redis to {min(orders, most)} orders")
            copies = self._names(min(orders, self.in_redis + most))
            while names := list(islice(copies, 1000)):
                with redis.pipeline(transaction=False) as pipeline:
                    for source, name in names:
                        pipeline.copy(source, name)
                    pipeline.execute()
                self.in_redis += len(names)

    def _names(self, orders: int) -> Iterator[tuple[bytes, bytes]]:
        for number in range(self.in_redis, orders):
            copy, which = divmod(number, len(self._keys))
            source = self._keys[which]
            yield source, source + b"-%d" % copy


async def _templates(connection: Any, tables: tuple[str, ...]) -> int:
    """The rows of real orders, set aside when it is first asked for; how many orders they are."""
    await connection.execute(EARLIER)
    for table in tables:
        orders = REAL if table in STATED else ""
        await connection.execute(
            f"CREATE UNLOGGED TABLE IF NOT EXISTS real_{table} AS SELECT * FROM {table} {orders}"  # noqa: S608 - own names
        )
    return int(await connection.fetchval(f"SELECT count(*) FROM real_{tables[0]}"))  # noqa: S608 - own names


async def _copy(connection: Any, table: str, low: int, high: int, step: int) -> None:
    columns = await connection.fetch(COLUMNS, table)
    names = ", ".join(name for name, _ in columns)
    values = ", ".join(_value(table, name, kind) for name, kind in columns)
    insert = (
        f"INSERT INTO {table} ({names}) SELECT {values} FROM generate_series($2::int, $1::int + 1, -1)"  # noqa: S608 - own names
        f" AS copy CROSS JOIN real_{table}"
    )
    for begun in range(low, high, step):
        await connection.execute(insert, begun, min(begun + step, high))


def _value(table: str, name: str, kind: str) -> str:
    match name, kind:
        case "order_id", _:
            return "earlier(order_id, copy)"
        case "detail", _:
            return "replace(detail::text, order_id, earlier(order_id, copy))::jsonb"
        case _, "uuid":
            return f"earlier({name}::text, copy)::uuid"
        case "key", _ if table == "idempotency_keys":
            return "key || '-' || copy"
        case _:
            return name
