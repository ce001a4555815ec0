"""A durable workflow on DBOS: the saga is a function, its progress rows in PostgreSQL.

Each step is a transaction of the application's database, recorded by DBOS's datasource in it.
"""

import argparse
import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final

from dbos import DBOS, AsyncSQLAlchemyDatasource, SQLAlchemyDatasource

from bench.peers import shop
from bench.peers.databases import RunServers
from bench.peers.mix import MixOrder
from bench.peers.running import PeerPlan, Role, Submit

SYSTEM: Final = "dbos_system"
SETTINGS: Final = ("processes", "at_once", "pool", "mode", "isolation")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--at-once", type=int, default=8, help="workflows at once in a process")
    parser.add_argument("--pool", type=int, default=8, help="connections of each of its two pools")
    parser.add_argument("--mode", choices=("threads", "async"), default="threads")
    parser.add_argument("--isolation", default="READ COMMITTED", help="of a step's transaction")


def plan(place: RunServers, options: argparse.Namespace) -> PeerPlan:
    names = [f"dbos-{n}" for n in range(options.processes)]
    return PeerPlan(
        databases={"shop": tuple(shop.TABLES), SYSTEM: ()},
        roles=[Role(name, serve, (place, options, name), loads=True) for name in names],
        settings={name: getattr(options, name) for name in SETTINGS},
    )


class Steps:
    """What a workflow calls, each in a transaction of its own."""

    def __init__(self, place: RunServers, options: argparse.Namespace) -> None:
        self.url = place.url("shop")
        self.engine = {"pool_size": options.pool, "max_overflow": 0}
        self.isolation = options.isolation
        self.source: Any = None

    def run(self, step: shop.Stage, order: MixOrder) -> bool:
        done: bool = self.source.run_tx_step(self._options(step), self._do, step, order)
        return done

    async def run_async(self, step: shop.Stage, order: MixOrder) -> bool:
        done: bool = await self.source.run_tx_step_async(
            self._options(step), self._do_async, step, order
        )
        return done

    def _options(self, step: shop.Stage) -> dict[str, str]:
        return {"name": step.__name__, "isolation_level": self.isolation}

    def _do(self, step: shop.Stage, order: MixOrder) -> bool:
        return step(self.source.sql_session(), order)

    async def _do_async(self, step: shop.Stage, order: MixOrder) -> bool:
        done: bool = await self.source.sql_session().run_sync(step, order)
        return done


@asynccontextmanager
async def serve(place: RunServers, options: argparse.Namespace, name: str) -> AsyncIterator[Submit]:
    _configure(place, options, name)
    prepare = in_threads if options.mode == "threads" else as_coroutines
    try:
        yield await prepare(Steps(place, options), options.at_once)
    finally:
        await asyncio.to_thread(DBOS.destroy)


async def in_threads(steps: Steps, at_once: int) -> Submit:
    @DBOS.workflow()
    def checkout(order: MixOrder) -> None:
        saga = shop.saga(order)
        with suppress(StopIteration):
            step = next(saga)
            while True:
                step = saga.send(steps.run(*step))

    create = partial(SQLAlchemyDatasource.create, steps.url, engine_kwargs=steps.engine)
    steps.source = await asyncio.to_thread(create)
    await asyncio.to_thread(DBOS.launch)
    threads = ThreadPoolExecutor(at_once)

    async def submit(order: MixOrder) -> None:
        await asyncio.get_running_loop().run_in_executor(threads, checkout, order)

    return submit


async def as_coroutines(steps: Steps, at_once: int) -> Submit:
    @DBOS.workflow()
    async def checkout(order: MixOrder) -> None:
        await shop.carried_out(order, steps.run_async)

    steps.source = await AsyncSQLAlchemyDatasource.create(steps.url, engine_kwargs=steps.engine)
    await asyncio.to_thread(DBOS.launch)
    free = asyncio.Semaphore(at_once)

    async def submit(order: MixOrder) -> None:
        async with free:
            await checkout(order)

    return submit


def _configure(place: RunServers, options: argparse.Namespace, name: str) -> None:
    """No telemetry and no console of DBOS's makers: neither a key nor an address of one is given."""
    logging.getLogger("dbos").setLevel(logging.ERROR)
    DBOS(
        config={
            "name": "checkout",
            "system_database_url": place.url(SYSTEM),
            "sys_db_pool_size": options.pool,
            "executor_id": name,
            "application_version": "1",
            "enable_otlp": False,
            "log_level": "ERROR",
        }
    )
