"""Look-ups of single keys, made together: whoever asks while a query runs shares the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

from chassis.pace import Pace

V = TypeVar("V")


class SharedQueries(Generic[V]):
    """`ask` answers for each key of many; what it raises, all who share the query get.

    `pace` spaces the queries out.
    """

    def __init__(
        self, ask: Callable[[set[str]], Awaitable[Mapping[str, V]]], pace: Pace | None = None
    ) -> None:
        self._ask = ask
        self._pace = pace or Pace()
        self._waiting: dict[str, asyncio.Future[V]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def __call__(self, key: str) -> V:
        future = self._waiting.get(key)
        if future is None:
            future = self._waiting[key] = asyncio.get_running_loop().create_future()
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask_for_all())
        return await asyncio.shield(future)

    async def _ask_for_all(self) -> None:
        while self._waiting:
            taken, self._waiting = self._waiting, {}
            try:
                found = await self._ask({*taken})
            except Exception as error:  # noqa: BLE001 - whoever waits for it gets it
                for future in taken.values():
                    future.set_exception(error)
                    future.exception()  # it may be that nobody waits any more
            else:
                for key, future in taken.items():
                    future.set_result(found[key])
            await self._pace.handled(len(taken))
