"""Customers who come at a steady rate whatever happens, and ask again until they are answered."""

import asyncio
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from saga_cli.demo import KINDS, a_checkout
from saga_cli.stack.issuer import bearer
from saga_cli.stack.seed import PRODUCTS
from saga_cli.stack.services import Services

KIND_WEIGHTS: Final = (12, 1, 2, 1, 1)
WARES: Final = tuple(sku for sku, (_, _, on_hand) in PRODUCTS.items() if on_hand > 1)
CANCELS: Final = 0.2
DISPATCHES: Final = 0.05
TRY_S: Final = 5.0
AGAIN_S: Final = 0.25
PATIENCE_S: Final = 60.0
LAST_PATIENCE_S: Final = 600.0
"""Where it is a finding that no answer came, as of who asks again when all is settled."""
TOO_LATE: Final = 409
ASK_AGAIN: Final = {409, 429, 500, 503}


@dataclass(frozen=True, slots=True)
class Placed:
    order_id: str
    key: str
    body: dict[str, Any]


@dataclass
class CustomerLoad:
    """A customer who gave up may have an order or none."""

    services: Services
    rng: random.Random
    name: str
    patience_s: float = PATIENCE_S
    placed: list[Placed] = field(default_factory=list)
    gave_up: int = 0
    tries: Counter[str] = field(default_factory=Counter)
    surprises: list[str] = field(default_factory=list)

    async def come(self, rate: float, until: asyncio.Event) -> None:
        """An open loop: nobody waits for those who came before."""
        started, number = time.monotonic(), 0
        async with asyncio.TaskGroup() as tasks:
            while not until.is_set():
                tasks.create_task(self._visit(number))
                number += 1
                await asyncio.sleep(max(0.0, started + number / rate - time.monotonic()))

    async def come_back(self, count: int) -> None:
        """Some of those who were answered ask once more with their keys, and get the same answer."""
        self.patience_s = max(self.patience_s, LAST_PATIENCE_S)
        for placed in self.rng.sample(self.placed, min(count, len(self.placed))):
            order_id = await self._order(placed.key, placed.body) or "nothing"
            if order_id != placed.order_id:
                what = f"{placed.key} was answered {placed.order_id}, then {order_id}"
                self.surprises.append(f"G5 {what}")

    async def _visit(self, number: int) -> None:
        (changes,) = self.rng.choices(KINDS, KIND_WEIGHTS)
        lines = [{"sku": sku, "quantity": 1} for sku in self.rng.sample(WARES, 2)]
        customer = {"customer_id": f"c-{number % 13}", "lines": lines}
        key, body = f"{self.name}-{number}", a_checkout(**{**customer, **changes})
        cancels, dispatches = self.rng.random() < CANCELS, self.rng.random() < DISPATCHES
        later_s = self.rng.uniform(0, 3)
        order_id = await self._order(key, body)
        if order_id is None:
            self.gave_up += 1
            return
        self.placed.append(Placed(order_id, key, body))
        await asyncio.sleep(later_s)
        if dispatches:
            await self._until("shipping", f"/shipments/{order_id}/dispatch", {200, 404, TOO_LATE})
        if cancels:
            await self._until("order", f"/orders/{order_id}/cancel", {200, 202, TOO_LATE})

    async def _order(self, key: str, body: dict[str, Any]) -> str | None:
        answer = await self._until("order", "/checkout", {201}, body, key)
        return str(json.loads(answer)["order_id"]) if answer else None

    async def _until(
        self, service: str, path: str, good: set[int], body: Any = None, key: str = ""
    ) -> bytes | None:
        """Ask one process, then the other, until one answers or patience ends."""
        deadline, turn = time.monotonic() + self.patience_s, self.rng.randrange(2)
        while time.monotonic() < deadline:
            instances = self.services.of(service)
            turn += 1
            try:
                async with asyncio.timeout(TRY_S):
                    status, answer = await _post(
                        instances[turn % len(instances)].url + path, body, key
                    )
            except (OSError, EOFError) as error:  # TimeoutError is an OSError
                self.tries[type(error).__name__] += 1
            else:
                self.tries[str(status)] += 1
                if status in good:
                    return answer
                if status not in ASK_AGAIN:
                    self.surprises.append(f"{path}: {status} {answer[:200]!r}")
                    return None
            await asyncio.sleep(AGAIN_S)
        return None


async def _post(url: str, body: Any, key: str) -> tuple[int, bytes]:
    """Over a connection of its own, by a client that costs little and hides no trouble.

    Raises OSError or EOFError where no whole answer comes.
    """
    place = urlsplit(url)
    content = json.dumps(body).encode() if body is not None else b""
    lines = [
        f"POST {place.path} HTTP/1.1",
        f"Host: {place.netloc}",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in bearer().items()),
        *([f"Idempotency-Key: {key}"] if key else []),
    ]
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode() + content)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.split("content-length:")[1].split("\r\n")[0])
        return int(head.split()[1]), await reader.readexactly(length)
    finally:
        writer.close()
