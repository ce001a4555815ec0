"""The load generator, a process of its own: `python -m bench.load PLAN`, a plan as JSON.

On stdout: `started` with the system's monotonic clock, `placed` when every order is answered, then
the report as JSON. Latency counts from when an order was due, not from when it could be sent.
"""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any, Final

import uvloop
from pydantic_core import from_json, to_json

from bench.plan import PLAN, TOKEN, LoadPlan, carts, schedule
from bench.report import CONFIRMED, CREATED, Observed, ObservedAnswer, Settled, reported
from chassis.events import type_of
from chassis.kafka import Cluster, make_consumer, places_of, start, stop_within
from saga_cli.connections import ConnectionPool, Response
from saga_cli.targets import found
from shared_events.catalog import CATALOG

ID: Final = slice(13, 49)
"""Where an answer has the order's id: it begins with it, and to parse the rest would cost more."""
BEGIN: Final = b'{"order_id":"'
AGAIN_S: Final = 0.1
POLL_S: Final = 0.05


class LoadGenerator:
    """Places the orders of a plan and hears of their ends; `pending` have none yet."""

    def __init__(self, plan: LoadPlan, log: Any) -> None:
        self.plan, self.log = plan, log
        self.pool = ConnectionPool(plan.urls, plan.connections)
        self.slots = asyncio.Semaphore(plan.in_flight)
        self.seen = Observed()
        self.pending: dict[bytes, float] = {}
        self.early: dict[bytes, tuple[float, str]] = {}
        self.requests = requests(plan)
        self.started = time.monotonic()
        self.answered_at = self.started

    async def run(self) -> Observed:
        listening = asyncio.create_task(self._listen())
        self.started = self.answered_at = time.monotonic()
        cpu = time.process_time()
        _write_line(f"started {self.started}")
        await (self._closed() if self.plan.in_flight else self._open())
        await self._until(lambda: len(self.seen.answered) == len(self.seen.late))
        self.seen.placed_s = self._now()
        _write_line(f"placed {self.seen.placed_s}")
        await self._until(lambda: not self.pending)
        self.seen.cpu_s = time.process_time() - cpu
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
        self.pool.close()
        return self.seen

    async def _open(self) -> None:
        for due in schedule(self.plan):
            if (early := due - self._now()) > 0:
                await asyncio.sleep(early)
            self._send(due)

    async def _closed(self) -> None:
        for _ in range(self.plan.orders):
            await self.slots.acquire()
            self._send(self._now())

    def _send(self, due: float) -> None:
        self.seen.late.append(self._now() - due)
        self.pool.ask(next(self.requests), partial(self._answered, due))

    def _answered(self, due: float, answer: Response) -> None:
        at = self._now()
        self.seen.answered.append(ObservedAnswer(due, at, answer.status, answer.has_retry_after))
        if answer.status != CREATED:
            asyncio.get_running_loop().call_later(AGAIN_S, self.slots.release)
            return
        assert answer.body.startswith(BEGIN), "an answer begins with the order's id"
        order_id = answer.body[ID]
        if order_id in self.early:
            self._settled(due, *self.early.pop(order_id))
        else:
            self.pending[order_id] = due

    def _settled(self, due: float, at: float, how: str) -> None:
        self.seen.settled.append(Settled(due, at, how))
        self.answered_at = time.monotonic()
        self.slots.release()

    async def _listen(self) -> None:
        while True:
            for batch in (await self.log.getmany(timeout_ms=1000)).values():
                at = self._now()
                for record in batch:
                    how = outcome(record)
                    if not how:
                        continue
                    if record.key in self.pending:
                        self._settled(self.pending.pop(record.key), at, how)
                    else:
                        self.early[record.key] = (at, how)

    async def _until(self, done: Any) -> None:
        """Or until nothing has been heard of for as long as the plan has patience."""
        since = time.monotonic()
        while not done():
            if time.monotonic() - max(since, self.answered_at) > self.plan.patience_s:
                return
            await asyncio.sleep(POLL_S)

    def _now(self) -> float:
        return time.monotonic() - self.started


def requests(plan: LoadPlan) -> Iterator[bytes]:
    """Each with an Idempotency-Key of its own, as a careful client has it."""
    head = (
        "POST /checkout HTTP/1.1\r\nHost: order\r\nContent-Type: application/json\r\n"
        f"Authorization: {os.environ[TOKEN]}\r\n"
        f"Idempotency-Key: bench-{time.time_ns()}-%d\r\nContent-Length: %d\r\n\r\n"
    )
    for number, cart in enumerate(carts(plan.seed, plan.shape)):
        yield (head % (number, len(cart))).encode() + cart


def outcome(record: Any) -> str:
    """How the event ends an order; "" if it does not."""
    match type_of(record.headers):
        case "order.confirmed.v1":
            return CONFIRMED
        case "order.cancelled.v1":
            return str(from_json(record.value)["reason"])
        case _:
            return ""


async def run(plan: LoadPlan, cluster: Cluster) -> Observed:
    """Raises KafkaError where the log does not answer."""
    log = make_consumer(cluster, None)
    try:
        async with asyncio.timeout(30):
            await start(log, cluster)
            places = await places_of(cluster, CATALOG.lanes_of("order"))
            log.assign(places)
            for place, end in (await log.end_offsets(places)).items():
                log.seek(place, end)
        return await LoadGenerator(plan, log).run()
    finally:
        await stop_within(log, 5)


def _write_line(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # brokers that are killed are no news
    plan = PLAN.validate_json(sys.argv[1])
    seen = uvloop.run(run(plan, found().kafka))
    _write_line(to_json(reported(plan, seen)).decode())


if __name__ == "__main__":
    main()
