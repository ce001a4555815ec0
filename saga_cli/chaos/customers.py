"""Customers who come at a steady rate whatever happens, and ask again until they are answered."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from saga_cli.demo import SCENES, a_checkout
from saga_cli.seed import PRODUCTS

KINDS: Final = [scene.changes for scene in SCENES[:5]]
KIND_WEIGHTS: Final = (12, 1, 2, 1, 1)
WARES: Final = tuple(sku for sku, (_, _, on_hand) in PRODUCTS.items() if on_hand > 1)
CANCELS: Final = 0.2
DISPATCHES: Final = 0.05
TRY_S: Final = 5.0
AGAIN_S: Final = 0.25
PATIENCE_S: Final = 60.0
ASK_AGAIN: Final = {409, 429, 500, 503}


@dataclass(frozen=True, slots=True)
class Placed:
    order_id: str
    key: str
    body: dict[str, Any]


@dataclass
class Customers:
    """`urls` are the processes of a service. One that gave up may have an order or none."""

    urls: Callable[[str], Sequence[str]]
    rng: random.Random
    name: str
    placed: list[Placed] = field(default_factory=list)
    gave_up: int = 0
    tries: Counter[str] = field(default_factory=Counter)
    surprises: list[str] = field(default_factory=list)

    async def come(self, rate: float, until: asyncio.Event) -> None:
        """An open loop: nobody waits for those who came before."""
        started, number = time.monotonic(), 0
        limits = httpx.Limits(max_connections=None)
        async with (
            httpx.AsyncClient(timeout=TRY_S, limits=limits) as client,
            asyncio.TaskGroup() as tasks,
        ):
            while not until.is_set():
                tasks.create_task(self._visit(client, number))
                number += 1
                await asyncio.sleep(max(0.0, started + number / rate - time.monotonic()))

    async def come_back(self, count: int) -> None:
        """Some of those who were answered ask once more with their keys, and are told the same."""
        async with httpx.AsyncClient(timeout=TRY_S) as client:
            for placed in self.rng.sample(self.placed, min(count, len(self.placed))):
                answer = await self._order(client, placed.key, placed.body)
                order_id = answer.json()["order_id"] if answer else "nothing"
                if order_id != placed.order_id:
                    self.surprises.append(
                        f"G5 {placed.key} was told {placed.order_id}, then {order_id}"
                    )

    async def _visit(self, client: httpx.AsyncClient, number: int) -> None:
        (changes,) = self.rng.choices(KINDS, KIND_WEIGHTS)
        lines = [{"sku": sku, "quantity": 1} for sku in self.rng.sample(WARES, 2)]
        customer = {"customer_id": f"c-{number % 13}", "lines": lines}
        key, body = f"{self.name}-{number}", a_checkout(**{**customer, **changes})
        cancels, dispatches = self.rng.random() < CANCELS, self.rng.random() < DISPATCHES
        later_s = self.rng.uniform(0, 3)
        answer = await self._order(client, key, body)
        if answer is None:
            self.gave_up += 1
            return
        order_id = answer.json()["order_id"]
        self.placed.append(Placed(order_id, key, body))
        await asyncio.sleep(later_s)
        if dispatches:
            await self._post(client, "shipping", f"/shipments/{order_id}/dispatch", {200, 404})
        if cancels:
            await self._post(client, "order", f"/orders/{order_id}/cancel", {200, 202})

    async def _order(
        self, client: httpx.AsyncClient, key: str, body: dict[str, Any]
    ) -> httpx.Response | None:
        headers = {"Idempotency-Key": key}

        def ask(url: str) -> Coroutine[Any, Any, httpx.Response]:
            return client.post(f"{url}/checkout", json=body, headers=headers)

        return await self._until(ask, "order", {201})

    async def _post(
        self, client: httpx.AsyncClient, service: str, path: str, good: set[int]
    ) -> None:
        """A wish that may come too late: 409 is an answer here."""
        await self._until(lambda url: client.post(f"{url}{path}"), service, good | {409})

    async def _until(
        self,
        ask: Callable[[str], Coroutine[Any, Any, httpx.Response]],
        service: str,
        good: set[int],
    ) -> httpx.Response | None:
        """Ask one process, then the other, until one answers or patience ends."""
        deadline, turn = time.monotonic() + PATIENCE_S, self.rng.randrange(2)
        while time.monotonic() < deadline:
            urls = self.urls(service)
            turn += 1
            try:
                answer = await ask(urls[turn % len(urls)])
            except httpx.TransportError as error:
                self.tries[type(error).__name__] += 1
            else:
                self.tries[str(answer.status_code)] += 1
                if answer.status_code in good:
                    return answer
                if answer.status_code not in ASK_AGAIN:
                    self.surprises.append(f"{answer.status_code} {answer.text[:200]}")
                    return None
            await asyncio.sleep(AGAIN_S)
        return None
