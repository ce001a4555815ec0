"""What waits in an outbox, published without a broker."""

from typing import Any

from chassis.message import PendingEffect
from tests.support.opened import Opened


async def relayed(store: Opened) -> int:
    """All of it is acknowledged, as if Kafka had it; returns how many rows."""
    assert await store.lead()
    rows = await store.pending(10_000)
    await store.acknowledge([id_ for id_, _ in rows])
    await store.resign()
    return len(rows)


async def due(
    store: Opened, kinds: tuple[str, ...], limit: int, lease_s: float, **more: Any
) -> list[PendingEffect]:
    """Effects are due once what led to them is published."""
    await relayed(store)
    found: list[PendingEffect] = await store.due_effects(kinds, limit, lease_s, **more)
    return found
