"""A customer of the running system, and the wait for it to come to rest."""

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from guarantees.judge import JudgeReport
from saga_cli.demo import SCENES, a_checkout
from saga_cli.stack.services import Services
from saga_cli.verify import reconcile
from tests.support.problems import outcome_of
from tests.support.waiting import until, until_async

MIXED = [scene.changes for scene in SCENES[:5]]
ANSWERS_TO_CANCEL: Final = {
    (202, ""),
    (409, "already_cancelling"),
    (409, "already_cancelled"),
    (409, "cancellation_refused"),
}
ASKED_AGAIN: Final = {
    (409, "in_flight"),
    (429, "overloaded"),
    (500, "internal_error"),
    (503, "not_read"),
    (503, "shutting_down"),
    (503, "unavailable"),
}
"""Refusals under load and faults, after which the same request comes again."""
PAUSE_S: Final = 0.3
"""Between two tens of a load: what it leaves is settled in the time of a test."""


def checkout(services: Services, wait_s: int = 20, **changes: Any) -> httpx.Response:
    headers = changes.pop("headers", {})
    return httpx.post(
        f"{services.url('order')}/checkout",
        json=a_checkout(**changes),
        headers={"Prefer": f"wait={wait_s}", **headers},
        timeout=60,
    )


async def place_many(urls: Sequence[str], count: int, at_once: int = 50) -> list[str]:
    """Place mixed orders, each with a key, until each is acknowledged; returns their ids.

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
                assert outcome_of(answer) in {(201, ""), *ASKED_AGAIN}, answer.text
                return str(answer.json()["order_id"]) if answer.status_code == 201 else None

            return str(await until_async(look, 150, f"the answer to {number}", pause_s=0.1))

        return await asyncio.gather(*(place(n) for n in range(count)))


@dataclass
class Load:
    """Mixed orders at one service, ten at a time, for as long as the test needs them.

    A load of a fixed number ends before its faults do, on a machine that is fast enough. With
    `cancels` the first of each ten is cancelled, wherever it is by then.
    """

    url: str
    cancels: bool = False
    acknowledged: list[str] = field(default_factory=list)
    _is_enough: threading.Event = field(default_factory=threading.Event)
    _placing: Future[None] = field(init=False)

    @contextmanager
    def running(self) -> Iterator["Load"]:
        """Places orders until the block is left, and all of them are acknowledged."""
        with ThreadPoolExecutor(1) as pool:
            self._placing = pool.submit(asyncio.run, self._place())
            try:
                yield self
            finally:
                self._is_enough.set()
            self._placing.result()

    def await_more(self, count: int, seconds: float = 60) -> None:
        """Wait until so many more orders are acknowledged; what ended the load is raised."""
        enough = len(self.acknowledged) + count

        def have_come() -> bool:
            if self._placing.done():
                self._placing.result()
            return len(self.acknowledged) >= enough

        until(have_come, seconds, f"{count} more orders")

    async def _place(self) -> None:
        async with httpx.AsyncClient(timeout=15) as client:
            while not self._is_enough.is_set():
                placed = await place_many([self.url], 10, at_once=5)
                self.acknowledged += placed
                if self.cancels:
                    await self._cancel(client, placed[0])
                await asyncio.sleep(PAUSE_S)

    async def _cancel(self, client: httpx.AsyncClient, order_id: str) -> None:
        async def is_answered() -> bool:
            try:
                answer = await client.post(f"{self.url}/orders/{order_id}/cancel")
            except httpx.TransportError:
                return False
            outcome = outcome_of(answer)
            assert outcome in ANSWERS_TO_CANCEL | ASKED_AGAIN, answer.text
            return outcome in ANSWERS_TO_CANCEL

        await until_async(is_answered, 60, f"the answer to {order_id}", pause_s=0.1)


def settled(services: Services, acknowledged: Sequence[str], seconds: float = 120) -> JudgeReport:
    """Wait until the books agree and nothing is on its way; the last report says what does not."""
    return asyncio.run(reconcile.settled(services.addresses, acknowledged, seconds))
