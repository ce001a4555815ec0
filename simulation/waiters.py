"""Waiting for what may happen, without polling."""

import asyncio
from typing import Any


class Waiters:
    def __init__(self) -> None:
        self.waiting: dict[asyncio.Future[bool], None] = {}

    def wake(self) -> None:
        """Wake all; who is gone is forgotten with that."""
        waiting, self.waiting = self.waiting, {}
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(True)


async def woken(seconds: float | None, *sources: Waiters) -> bool:
    """Wait for any of the sources or for the time to be over; says whether it was a source."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[bool] = loop.create_future()
    timer = None if seconds is None else loop.call_later(seconds, give_up, waiter)
    for source in sources:
        source.waiting[waiter] = None
    try:
        return await waiter
    finally:
        if timer is not None:
            timer.cancel()
        for source in sources:
            source.waiting.pop(waiter, None)


def give_up(waiter: asyncio.Future[bool]) -> None:
    """The time to wait is over: nothing has happened."""
    if not waiter.done():
        waiter.set_result(False)


def refuse(reply: asyncio.Future[Any], error: BaseException) -> None:
    """Fail a reply; nobody may be left to hear of it, and that is no one's mistake."""
    if not reply.done():
        reply.set_exception(error)
        reply.exception()
