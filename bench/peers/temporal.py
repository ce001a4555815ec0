"""A durable workflow on Temporal, whose server is started here with SQLite in a file.

The server calls nobody: its look for newer versions is off, and so is its page. An activity may run
twice, so each keeps its answer in the transaction that it is.
"""

import argparse
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from sqlalchemy import text
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from bench.peers import shop
from bench.peers.databases import RunServers
from bench.peers.messaging import Sessions, database
from bench.peers.mix import MixOrder
from bench.peers.running import CantRunError, PeerPlan, Role, Submit

QUEUE: Final = "checkout"
SETTINGS: Final = ("workers", "at_once", "pollers", "activities", "pool")
START_S: Final = 60
TABLES: Final = "CREATE TABLE answered (id text PRIMARY KEY, done boolean NOT NULL)"
ANSWERED: Final = text("SELECT done FROM answered WHERE id = :id")
ANSWER: Final = text("INSERT INTO answered (id, done) VALUES (:id, :done)")
STEPS: Final[tuple[shop.Stage, ...]] = (
    shop.place,
    *(step for _, *steps in shop.CHAIN for step in steps if step),
    shop.confirm,
    shop.cancel,
)
GIVEN: Final = (
    "system.forceSearchAttributesCacheRefreshOnRead=false",
    "frontend.namespaceRPS=100000",
    "frontend.enableServerVersionCheck=false",
)
"""A development server is set to show changes at once, at a price that no measurement should pay."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--at-once", type=int, default=100, help="tasks of a kind in a worker")
    parser.add_argument("--pollers", type=int, default=5, help="of a kind in a worker")
    parser.add_argument("--activities", choices=("normal", "local"), default="local")
    parser.add_argument("--pool", type=int, default=10, help="connections of a worker")
    parser.add_argument("--pragma", action="append", help="of SQLite (journal_mode=WAL)")
    parser.add_argument("--dynamic", action="append", help="KEY=VALUE of the server's own settings")


def plan(place: RunServers, options: argparse.Namespace) -> PeerPlan:
    program = shutil.which("temporal")
    if program is None:
        raise CantRunError("there is no `temporal` on PATH")
    pragmas = options.pragma or ["journal_mode=WAL", "synchronous=FULL"]
    dynamic = options.dynamic or list(GIVEN)
    address = f"127.0.0.1:{_free_port()}"
    workers = [
        Role(f"worker-{n}", worker, (place, address, options)) for n in range(options.workers)
    ]
    client = Role("client", submitting, (address, options.activities), loads=True)
    return PeerPlan(
        databases={"shop": tuple(shop.TABLES)},
        extra_tables=(TABLES,),
        roles=[*workers, client],
        settings={
            **{name: getattr(options, name) for name in SETTINGS},
            "pragma": " ".join(pragmas),
            "dynamic": " ".join(dynamic),
        },
        around=partial(server, program, address, pragmas, dynamic),
    )


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port


@contextmanager
def server(
    program: str, address: str, pragmas: list[str], dynamic: list[str]
) -> Iterator[dict[str, int]]:
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        words = ["--headless", "--ip", "127.0.0.1", "--port", address.rpartition(":")[2]]
        words += ["--db-filename", str(Path(folder) / "temporal.db"), "--log-level", "error"]
        words += [word for pragma in pragmas for word in ("--sqlite-pragma", pragma)]
        words += [word for value in dynamic for word in ("--dynamic-config-value", value)]
        env = {**os.environ, "HOME": folder, "TEMPORAL_VERSION_CHECK_DISABLED": "1"}
        with (Path(folder) / "log").open("w") as log:
            running = subprocess.Popen(  # noqa: S603 - no shell: the server of its own wheel
                [program, "server", "start-dev", *words], env=env, stdout=log, stderr=log
            )
        try:
            _await(address, running, Path(folder) / "log")
            yield {"temporal": running.pid}
        finally:
            running.terminate()
            running.wait(20)


def _await(address: str, running: subprocess.Popen[bytes], log: Path) -> None:
    host, port = address.split(":")
    deadline = time.monotonic() + START_S
    while running.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection((host, int(port)), 1):
            return
        time.sleep(0.1)
    raise CantRunError(f"temporal does not start: {log.read_text()[-500:]}")


@workflow.defn
class CheckoutWorkflow:
    @workflow.run
    async def run(self, order: MixOrder, activities: str) -> None:
        self.call = (
            workflow.execute_local_activity if activities == "local" else workflow.execute_activity
        )
        await shop.carried_out(order, self.step)

    async def step(self, step: shop.Stage, order: MixOrder) -> bool:
        done: bool = await self.call(
            step.__name__, order, result_type=bool, start_to_close_timeout=timedelta(seconds=60)
        )
        return done


def activity_of(sessions: Sessions, step: shop.Stage) -> Callable[[MixOrder], Any]:
    @activity.defn(name=step.__name__)
    async def run(order: MixOrder) -> bool:
        row = {"id": f"{order.id}:{step.__name__}"}
        async with sessions.begin() as session:
            known: bool | None = (await session.execute(ANSWERED, row)).scalar()
            if known is not None:
                return known
            done: bool = await session.run_sync(step, order)
            await session.execute(ANSWER, {**row, "done": done})
        return done

    return run


@asynccontextmanager
async def worker(
    place: RunServers, address: str, options: argparse.Namespace
) -> AsyncIterator[Submit | None]:
    """Without the sandbox, which looks for workflows that aren't deterministic and costs CPU."""
    client = await Client.connect(address)
    async with (
        database(place, "shop", options.pool) as sessions,
        Worker(
            client,
            task_queue=QUEUE,
            workflows=[CheckoutWorkflow],
            activities=[activity_of(sessions, step) for step in STEPS],
            workflow_runner=UnsandboxedWorkflowRunner(),
            max_concurrent_workflow_tasks=options.at_once,
            max_concurrent_activities=options.at_once,
            max_concurrent_local_activities=options.at_once,
            max_concurrent_workflow_task_polls=options.pollers,
            max_concurrent_activity_task_polls=options.pollers,
        ),
    ):
        yield None


@asynccontextmanager
async def submitting(address: str, activities: str) -> AsyncIterator[Submit]:
    client = await Client.connect(address)

    async def submit(order: MixOrder) -> None:
        await client.execute_workflow(
            CheckoutWorkflow.run, args=[order, activities], id=order.id, task_queue=QUEUE
        )

    yield submit
