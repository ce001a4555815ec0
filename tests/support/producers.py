"""A producer without Kafka: what a relay sends is kept, or refused."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class KeptBatch:
    ids: list[str] = field(default_factory=list)

    def append(self, *, value: bytes, **_: Any) -> object:
        self.ids.append(value.decode())
        return self

    def close(self) -> None: ...


@dataclass
class KeepingProducer:
    """Its topics have one partition. It keeps the ids that it took, in order.

    `fails` says what it does not take.
    """

    fails: Callable[[str, list[str]], BaseException | None] = lambda _topic, _ids: None
    taken: list[str] = field(default_factory=list)
    asked: list[tuple[str, list[str]]] = field(default_factory=list)

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def partitions_for(self, _: str) -> set[int]:
        return {0}

    def create_batch(self) -> KeptBatch:
        return KeptBatch()

    async def send_batch(self, batch: KeptBatch, topic: str, **_: Any) -> asyncio.Future[None]:
        """Answered a moment later, so that sends that may overlap do."""
        self.asked.append((topic, batch.ids))
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(self._answer, batch, topic, answered)
        return answered

    def _answer(self, batch: KeptBatch, topic: str, answered: asyncio.Future[None]) -> None:
        if error := self.fails(topic, batch.ids):
            answered.set_exception(error)
        else:
            self.taken += batch.ids
            answered.set_result(None)
