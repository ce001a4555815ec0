"""How every peer is run: its processes, a closed loop of orders, and what they cost."""

import asyncio
import contextlib
import multiprocessing
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, Final, Self

from bench.cpu import cpu_s
from bench.peers.mix import MixOrder, order_of
from bench.peers.shop import TABLES

PATIENCE_S: Final = 600  # a whole run of orders on a slow tool
Submit = Callable[[MixOrder], Awaitable[Any]]
"""Ends when the order's last state is committed."""
Serve = Callable[..., AbstractAsyncContextManager[Submit | None]]


class CantRunError(Exception):
    """A peer lacks something on this machine; the message says what."""


@dataclass(frozen=True, slots=True)
class Role:
    """A process of a peer; `serve` runs in it, and gives a way to submit orders if it is to load."""

    name: str
    serve: Serve
    arguments: tuple[Any, ...]
    loads: bool = False


@dataclass(frozen=True, slots=True)
class PeerPlan:
    """What a peer needs: which database holds which services' tables, topics, processes.

    Every database has the `extra_tables` as well.
    `around` runs a server of its own meanwhile, and gives the process ids of it by name.
    """

    databases: Mapping[str, tuple[str, ...]]
    roles: Sequence[Role]
    settings: Mapping[str, object]
    extra_tables: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    around: Callable[[], AbstractContextManager[Mapping[str, int]]] = field(
        default=lambda: contextlib.nullcontext({})
    )

    @property
    def tables(self) -> dict[str, list[str]]:
        """The statements that fill each database."""
        return {
            database: [*(TABLES[service] for service in services), *self.extra_tables]
            for database, services in self.databases.items()
        }


class Crew:
    """The processes of one run, each at the other end of a pipe."""

    def __init__(self, roles: Sequence[Role]) -> None:
        context = multiprocessing.get_context("spawn")
        self.processes: dict[str, SpawnProcess] = {}
        self._pipes: dict[str, Connection] = {}
        self._loaders = [role.name for role in roles if role.loads]
        for role in roles:
            self._pipes[role.name], theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, role), name=role.name)
            process.start()
            theirs.close()
            self.processes[role.name] = process

    def __enter__(self) -> Self:
        for name in self._pipes:
            self._receive(name)
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in self._pipes.values():
            with contextlib.suppress(
                BrokenPipeError
            ):  # it has died: what it was told is in its trace
                pipe.send(None)
        for process in self.processes.values():
            process.join(20)
            if process.is_alive():
                process.kill()

    def load(self, numbers: range, in_flight: int) -> list[float]:
        """Run orders, so many at once among all loaders; returns each one's seconds."""
        count = len(self._loaders)
        for nth, name in enumerate(self._loaders):
            share = in_flight // count + (nth < in_flight % count)
            self._pipes[name].send((numbers[nth::count], share))
        return [took for name in self._loaders for took in self._receive(name)]

    def metered(
        self, numbers: range, in_flight: int, servers: Mapping[str, int]
    ) -> tuple[list[float], float, dict[str, float]]:
        """Each one's seconds, the seconds of all, and CPU seconds by process, `servers` included."""
        own = {name: process.pid for name, process in self.processes.items() if process.pid}
        processes = {**own, **servers}
        before, started = {n: cpu_s(pid) for n, pid in processes.items()}, time.perf_counter()
        took = self.load(numbers, in_flight)
        seconds = time.perf_counter() - started
        spent = {n: round(cpu_s(pid) - before[n], 2) for n, pid in processes.items()}
        return took, seconds, spent

    def _receive(self, name: str) -> Any:
        """The next word of a process. Raises RuntimeError when one of them has ended."""
        deadline = time.monotonic() + PATIENCE_S
        while not self._pipes[name].poll(0.5):
            if ended := [n for n, process in self.processes.items() if not process.is_alive()]:
                raise RuntimeError(f"ended: {', '.join(ended)}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"the process {name} does not answer")
        try:
            return self._pipes[name].recv()
        except EOFError as error:
            raise RuntimeError(f"the process {name} ended") from error


def _work(pipe: Connection, role: Role) -> None:
    asyncio.run(_serve(pipe, role))


async def _serve(pipe: Connection, role: Role) -> None:
    async with role.serve(*role.arguments) as submit:
        pipe.send("ready")
        while (message := await _received(pipe)) is not None:
            assert submit is not None, f"{role.name} takes no orders"
            numbers, in_flight = message
            pipe.send(await closed_loop(submit, numbers, in_flight))


async def _received(pipe: Connection) -> Any:
    """The next word of the parent; None when it is gone."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(pipe.fileno(), readable.set)
    try:
        await readable.wait()
        return pipe.recv()
    except EOFError:
        return None
    finally:
        loop.remove_reader(pipe.fileno())


@contextlib.asynccontextmanager
async def beside(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run what goes on for ever; what one of them raises is raised here."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in works]
        yield
        for task in tasks:
            task.cancel()


async def closed_loop(submit: Submit, numbers: range, in_flight: int) -> list[float]:
    """Each of so many customers places the next order when the last one is settled."""
    waiting: Iterator[int] = iter(numbers)
    took: list[float] = []

    async def customer() -> None:
        for number in waiting:
            started = time.perf_counter()
            await submit(order_of(number))
            took.append(time.perf_counter() - started)

    async with asyncio.TaskGroup() as customers:
        for _ in range(in_flight):
            customers.create_task(customer())
    return took
