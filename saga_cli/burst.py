"""Many checkouts at once over plain keep-alive connections: a client that costs little CPU itself."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any, Final

import httpx

from saga_cli.clients import database
from saga_cli.connections import ConnectionPool, Response
from saga_cli.topology import Addresses

AGAIN_S: Final = 1.0
"""Seconds after which a client that was refused for overload asks again."""


@dataclass(frozen=True, slots=True)
class Burst:
    """`seconds` from the first order placed to the last one settled, by the order service's clock."""

    orders: int
    confirmed: int
    seconds: float
    median_ms: float

    @property
    def per_second(self) -> float:
        return self.orders / self.seconds


async def place(url: str, body: dict[str, Any], count: int, connections: int) -> list[str]:
    """Place the same cart `count` times; returns the ids of the acknowledged orders.

    Raises RuntimeError for any other answer than an order, or that there is too much to do now.
    """
    pool, content = ConnectionPool([url], connections), json.dumps(body).encode()
    head = (
        "POST /checkout HTTP/1.1\r\nHost: order\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    request = head.encode() + content
    try:
        return await asyncio.gather(*(_placed(pool, request) for _ in range(count)))
    finally:
        pool.close()


async def _placed(pool: ConnectionPool, request: bytes) -> str:
    answer = await _answer(pool, request)
    if answer.status == httpx.codes.TOO_MANY_REQUESTS:
        await asyncio.sleep(AGAIN_S)
        return await _placed(pool, request)
    if answer.status != httpx.codes.CREATED:
        raise RuntimeError(f"checkout failed: {answer.status} {answer.body.decode()}")
    return str(json.loads(answer.body)["order_id"])


async def _answer(pool: ConnectionPool, request: bytes) -> Response:
    answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
    pool.ask(request, answered.set_result)
    return await answered


async def measure(addresses: Addresses, placed: list[str]) -> Burst:
    """What became of the placed orders, by the order service's own timeline."""
    async with database(addresses.store_of("order")) as connection:
        confirmed = await connection.fetchval(
            "SELECT count(*) FROM orders WHERE order_id = ANY($1) AND status = 'Confirmed'", placed
        )
        seconds = await connection.fetchval(
            "SELECT extract(epoch FROM max(at) - min(at)) FROM timeline WHERE order_id = ANY($1)",
            placed,
        )
        median = await connection.fetchval(
            "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY took) FROM ("
            " SELECT extract(epoch FROM max(at) - min(at)) AS took FROM timeline"
            " WHERE order_id = ANY($1) GROUP BY order_id) AS orders",
            placed,
        )
    return Burst(len(placed), confirmed, float(seconds), float(median) * 1000)
