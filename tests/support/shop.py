"""A customer of the running system, and the wait for it to come to rest."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from chassis import ids
from guarantees.judge import JudgeReport
from saga_cli.demo import SCENES, a_checkout
from saga_cli.stack.services import Services
from saga_cli.verify import reconcile
from tests.support.problems import outcome_of
from tests.support.waiting import patient, until, until_async

Outcomes = AbstractSet[tuple[int, str]]
"""Status, and of a refusal the code."""
MIXED = [scene.changes for scene in SCENES[:5]]
ANSWERS_TO_CANCEL: Final = {
    (202, ""),
    (409, "already_cancelling"),
    (409, "already_cancelled"),
    (409, "cancellation_refused"),
}
LOST: Final = (0, "")
"""No answer came: the server is away, or died."""
BUSY: Final = frozenset({(409, "in_flight"), (429, "overloaded"), (503, "unavailable")})
"""Refusals of a server that has much to do, after which the same request comes again."""
FAULTY: Final = BUSY | {
    LOST,
    (500, "internal_error"),
    (503, "not_read"),
    (503, "shutting_down"),
}
"""What comes beside them of a system under faults; of another it is a finding."""
PAUSE_S: Final = 0.5
"""Between two handfuls of a load: what it leaves is settled in the time of a test."""


def checkout(services: Services, wait_s: int = 60, **changes: Any) -> httpx.Response:
    headers = changes.pop("headers", {})
    return httpx.post(
        f"{services.url('order')}/checkout",
        json=a_checkout(**changes),
        headers={"Prefer": f"wait={wait_s}", **headers},
        timeout=patient(30),
    )


async def place_many(urls: Sequence[str], count: int, at_once: int = 50) -> list[str]:
    """Place mixed orders, under any faults, until each is acknowledged; returns their ids."""
    bodies = [
        a_checkout(**{"customer_id": f"c-{n % 13}", **MIXED[n % len(MIXED)]}) for n in range(count)
    ]
    return await place_all(urls, bodies, at_once, again=FAULTY, timeout_s=15)


async def place_all(
    urls: Sequence[str],
    bodies: Sequence[Any],
    at_once: int,
    again: Outcomes = BUSY,
    timeout_s: float = 60,
) -> list[str]:
    """The same of these checkouts, at the services of order in turn."""
    gate = asyncio.Semaphore(at_once)
    async with httpx.AsyncClient(timeout=timeout_s) as client:

        async def place(number: int) -> str:
            url = f"{urls[number % len(urls)]}/checkout"
            answer = await answered(client, url, {(201, "")}, bodies[number], gate, again)
            return str(answer.json()["order_id"])

        return await asyncio.gather(*map(place, range(len(bodies))))


async def answered(
    client: httpx.AsyncClient,
    url: str,
    outcomes: Outcomes,
    body: Any = None,
    gate: AbstractAsyncContextManager[Any] | None = None,
    again: Outcomes = BUSY,
) -> httpx.Response:
    """Post until it is answered with one of `outcomes`; with one of `again` it is asked again, by one key.

    Any other answer fails the test.
    """
    headers = {"Idempotency-Key": ids.new_id()}

    async def look() -> httpx.Response | None:
        try:
            async with gate or nullcontext():
                answer = await client.post(url, json=body, headers=headers)
        except httpx.TransportError:
            if LOST in again:
                return None
            raise
        assert outcome_of(answer) in {*outcomes, *again}, answer.text
        return answer if outcome_of(answer) in outcomes else None

    found: httpx.Response = await until_async(look, 150, f"the answer of {url}", pause_s=0.1)
    return found


@dataclass
class Load:
    """Mixed orders at one service, a few at a time, for as long as the test needs them.

    A load of a fixed number ends before its faults do, on a machine that is fast enough. With
    `cancels` the first of each few is cancelled, wherever it is by then.
    """

    url: str
    cancels: bool = False
    at_once: int = 5
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
                placed = await place_many([self.url], self.at_once, self.at_once)
                self.acknowledged += placed
                if self.cancels:
                    cancel = f"{self.url}/orders/{placed[0]}/cancel"
                    await answered(client, cancel, ANSWERS_TO_CANCEL, again=FAULTY)
                await asyncio.sleep(PAUSE_S)


def settled(services: Services, acknowledged: Sequence[str], seconds: float = 300) -> JudgeReport:
    """Wait until the books agree and nothing is on its way; the last report says what does not."""
    return asyncio.run(reconcile.settled(services.addresses, acknowledged, seconds))
