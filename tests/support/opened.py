"""One process's store with all that lies over it, as `chassis.process.runtime` wires it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chassis.bus import Committed
from chassis.decide import BatchResult, Snapshot
from chassis.kafka import Cluster
from chassis.kafka.consumer import Consumer
from chassis.message import Message, OutboxRow, Outcome
from chassis.process.fast_paths import Core, core_of
from chassis.process.settings import ALL_FAST_PATHS, FastPath
from chassis.redrive import Redriven, redrive
from chassis.service import Service
from chassis.store import Inspection


@dataclass
class Opened:
    """Whatever else is asked of it is the store's."""

    store: Any
    core: Core
    inspection: Inspection
    probe: Any = None
    """Where a test looks behind the store's port: tests/integration/store_probes.py."""

    @classmethod
    def of(
        cls,
        service: Service,
        store: Any,
        inspection: Inspection,
        *,
        kinds: frozenset[str] = frozenset(),
        fast_paths: frozenset[FastPath] = ALL_FAST_PATHS,
    ) -> "Opened":
        return cls(store, core_of(service, store, kinds, fast_paths), inspection)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def handle(self, messages: Sequence[Message]) -> list[Outcome]:
        return await self.core.handler.handle(messages)

    async def lead(self) -> bool:
        return await self.core.outbox.lead()

    async def resign(self) -> None:
        await self.core.outbox.resign()

    async def pending(self, limit: int, *shut: str) -> list[tuple[str, OutboxRow]]:
        return (await self.core.outbox.pending(limit, *shut)).rows

    async def refuse(self, refused: dict[str, str]) -> None:
        await self.core.outbox.refuse(refused)

    async def acknowledge(self, ids: Sequence[str]) -> None:
        await self.core.outbox.acknowledge(ids)

    def consumer(self, cluster: Cluster, **options: Any) -> Consumer:
        handler = self.core.handler
        return Consumer(handler.service, handler, self.store, cluster, **options)

    async def put(self, rows: Sequence[OutboxRow]) -> None:
        """Rows in the outbox, as if they had been decided on."""
        result = BatchResult(Snapshot(), outbox=list(rows))
        async with self.store.begin() as unit:
            await unit.commit(result)
            self.core.bus.publish(Committed([], result))

    async def redrive(self, key: str, by: str, **options: Any) -> list[Redriven]:
        return await redrive(self.core.handler, self.inspection, key, by, **options)
