"""A customer of the running system, and the wait for it to come to rest."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import httpx

from guarantees.judge import JudgeReport
from saga_cli.demo import SCENES, a_checkout
from saga_cli.stack.services import Services
from saga_cli.verify import reconcile
from tests.support.waiting import until_async

MIXED = [scene.changes for scene in SCENES[:5]]


def checkout(services: Services, wait_s: int = 20, **changes: Any) -> httpx.Response:
    headers = changes.pop("headers", {})
    return httpx.post(
        f"{services.url('order')}/checkout",
        json=a_checkout(**changes),
        headers={"Prefer": f"wait={wait_s}", **headers},
        timeout=60,
    )


async def place_many(
    urls: Sequence[str], count: int, at_once: int = 50, done: list[str] | None = None
) -> list[str]:
    """Place mixed orders, each with a key, until each is acknowledged; returns their ids.

    `done` is filled meanwhile, for who watches.

    An answer that is lost or a server that is away is asked again with the same key.
    """
    gate = asyncio.Semaphore(at_once)
    prefix = f"many-{time.monotonic_ns()}"
    async with httpx.AsyncClient(timeout=15) as client:

        async def place(number: int) -> str:
            body = a_checkout(**{"customer_id": f"c-{number % 13}", **MIXED[number % len(MIXED)]})
            headers = {"Idempotency-Key": f"{prefix}-{number}"}
            url = f"{urls[number % len(urls)]}/checkout"

            async def look() -> str | None:
                try:
                    async with gate:
                        answer = await client.post(url, json=body, headers=headers)
                except httpx.TransportError:
                    return None
                assert answer.status_code in {201, 409, 429, 500, 503}, answer.text
                return str(answer.json()["order_id"]) if answer.status_code == 201 else None

            order_id: str = await until_async(look, 150, f"the answer to {number}", pause_s=0.1)
            if done is not None:
                done.append(order_id)
            return order_id

        return await asyncio.gather(*(place(n) for n in range(count)))


def settled(services: Services, acknowledged: Sequence[str], seconds: float = 120) -> JudgeReport:
    """Wait until the books agree and nothing is on its way; the last report says what does not."""
    return asyncio.run(reconcile.settled(services.addresses, acknowledged, seconds))
