"""Many checkouts at once over plain keep-alive connections: a client that costs little CPU itself."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from saga_cli.topology import BY_NAME, Addresses

AGAIN_S: Final = 1.0
"""After so long a client who was told that there is too much to do asks again."""


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
    """Place the same cart `count` times; returns the ids of the acknowledged orders."""
    numbers = iter(range(count))
    placed: list[str] = []
    await asyncio.gather(*(_client(url, body, numbers, placed) for _ in range(connections)))
    return placed


async def _client(
    url: str, body: dict[str, Any], numbers: Iterator[int], placed: list[str]
) -> None:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    content = json.dumps(body).encode()
    head = (
        f"POST /checkout HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    ).encode()
    try:
        for _ in numbers:
            while True:
                writer.write(head + content)
                answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(answer.split("content-length:")[1].split("\r\n")[0])
                answered = await reader.readexactly(length)
                if " 429 " not in answer.splitlines()[0]:
                    break
                await asyncio.sleep(AGAIN_S)
            if " 201 " not in answer.splitlines()[0]:
                raise RuntimeError(f"checkout failed: {answered.decode()}")
            placed.append(json.loads(answered)["order_id"])
    finally:
        writer.close()


async def measure(addresses: Addresses, placed: list[str]) -> Burst:
    """What became of the placed orders, by the order service's own timeline."""
    connection = await asyncpg.connect(addresses.database_url(BY_NAME["order"]))
    try:
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
    finally:
        await connection.close()
    return Burst(len(placed), confirmed, float(seconds), float(median) * 1000)
