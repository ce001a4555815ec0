"""Leading a shard when the database answers with errors: no connection is kept for it."""

import asyncio

import pytest

from chassis.errors import TransientError
from chassis.postgres import PostgresStore
from shipping_svc.service import SERVICE
from shipping_svc.store import SHIPMENTS


class Refusing:
    """A connection on which every query times out."""

    async def fetchval(self, *_: object) -> object:
        raise TimeoutError


class Pool:
    """A pool that knows how many of its connections are out."""

    def __init__(self) -> None:
        self.out = 0

    async def acquire(self) -> Refusing:
        self.out += 1
        return Refusing()

    async def release(self, _: Refusing) -> None:
        self.out -= 1


def test_a_failed_try_to_lead_gives_its_connection_back() -> None:
    """Kept, a few outages would empty the pool, and the relay would wait for ever."""
    pool = Pool()
    store = PostgresStore(SERVICE, SHIPMENTS, None, pool, pool)
    for _ in range(3):
        with pytest.raises(TransientError):
            asyncio.run(store.lead(0))
    assert pool.out == 0
