"""Kafka, PostgreSQL and Redis as local processes: private data, free ports, loopback only."""

import asyncio
import fcntl
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final, Self

from aiokafka.errors import KafkaError

from chassis.kafka import Cluster, admin_client
from chassis.redis import RedisDatabase
from saga_cli.access.applying import brought
from saga_cli.stack import binaries, kafka, ports, postgres, watchdog
from saga_cli.stack.processes import ChildProcess, run
from saga_cli.stack.secured import OPEN, ServerSecurity, security_of
from saga_cli.stack.state import make_private, open_private
from saga_cli.terminal import message_of
from saga_cli.topology import Addresses, addresses_of, authority_of

START_S: Final = 600
"""What ends by itself is noticed at once; so long takes only a machine that has no CPU to spare."""
DURABLE_REDIS: Final = (
    *("--maxmemory-policy", "noeviction"),
    *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
)
"""Points live there: no write is acknowledged before it is on disk, and nothing is evicted."""
Check = Callable[[], Coroutine[None, None, None]]


@dataclass
class Servers:
    """Brokers, PostgreSQL and Redis; `all` is empty where they are somebody else's.

    `held` ends them, and then lets go of their ports and their folder.
    """

    addresses: Addresses
    all: tuple[ChildProcess, ...]
    folder: Path
    held: ExitStack = field(default_factory=ExitStack)

    @property
    def kafka(self) -> ChildProcess:
        """The only broker, or the first."""
        return self.all[0]

    @property
    def postgres(self) -> ChildProcess:
        return self.named("postgres")

    @property
    def redis(self) -> ChildProcess:
        return self.named("redis")

    def named(self, name: str) -> ChildProcess:
        return next(server for server in self.all if server.name == name)

    def bring_up(self, held: ExitStack) -> Self:
        """Start all at once, wait until each answers, make the databases, and take over `held`."""
        for server in self.all:
            server.start()
        for server in self.all:
            self.await_answer(server)
        postgres.create_databases(self.addresses)
        if self.addresses.secured:
            self._make_rights()
        self.held = held.pop_all()
        return self

    def _make_rights(self) -> None:
        """And topics, as the services of a secured stack may not. Raises RuntimeError."""
        try:
            asyncio.run(brought(self.addresses.kafka))
        except (KafkaError, TimeoutError) as error:
            raise RuntimeError(f"Kafka takes no rights: {message_of(error)}") from error

    def stop(self) -> None:
        self.held.close()

    def restart(self, server: ChildProcess) -> None:
        """Start a server that was stopped or killed, on its port and its data; wait until it answers."""
        if server is self.postgres:
            (self.folder / "postgres" / "postmaster.pid").unlink(missing_ok=True)
        server.start()
        self.await_answer(server)

    def await_answer(self, server: ChildProcess) -> None:
        """Raises RuntimeError with the end of its log where it does not answer in time."""
        kafka = self.addresses.kafka
        brokers = [replace(kafka, bootstrap=broker) for broker in kafka.bootstrap.split(",")]
        check = checks_of(self.addresses, brokers)[self.all.index(server)]
        deadline = time.monotonic() + START_S
        while True:
            try:
                asyncio.run(check())
            except Exception as error:
                code = server.exit_code()
                if code is not None or time.monotonic() > deadline:
                    how = f"ended with {code}" if code is not None else "does not answer"
                    why = f"{server.name} {how} ({message_of(error)})"
                    raise RuntimeError(f"{why}; the end of its log:\n{server.tail()}") from error
                time.sleep(0.05)
            else:
                return


def start(
    folder: Path | None = None,
    brokers: Sequence[kafka.KafkaBroker] = (),
    prepared: Path | None = None,
    *,
    secured: bool = False,
) -> Servers:
    """Start all at once, with one broker unless others are given; a given folder keeps its data.

    A private one begins as a copy of a prepared one, if there is one. `secured` ones have TLS, logins and
    rights (docs/security.md).
    Raises MissingProgramError, or RuntimeError with the end of the log of a server that fails.
    """
    with ExitStack() as held:
        place = held.enter_context(_kept_folder(folder) if folder else private_folder())
        if folder and secured and (place / "kafka").exists() and not authority_of(place).exists():
            raise RuntimeError(f"{folder} holds the data of a stack without logins")
        if prepared is not None:
            run(["cp", "-a", f"{prepared}/.", str(place)])
            make_private(place)
            if secured:
                shutil.rmtree(place / "kafka")  # its users are made with its data
        made = _local(place, brokers, held, secured=secured)
        for server in made.all:
            held.callback(server.stop if folder else server.kill)
        return made.bring_up(held)


@contextmanager
def private_folder() -> Iterator[Path]:
    """A new folder that is removed at the end, or when this process is gone."""
    with tempfile.TemporaryDirectory(prefix="saga-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        watchdog.watch(folder=folder)
        make_private(folder)
        yield folder


@contextmanager
def _kept_folder(folder: Path) -> Iterator[Path]:
    """The folder with a lock that the system takes back when this process is gone."""
    folder = folder.resolve()
    if not folder.exists():
        make_private(folder)
    elif os.geteuid() == 0:
        folder.chmod(folder.stat().st_mode | 0o011)  # PostgreSQL's data is its own user's
    with open_private(folder / "lock", "wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RuntimeError(f"another stack uses {folder}") from error
        yield folder


def _local(
    place: Path, brokers: Sequence[kafka.KafkaBroker], held: ExitStack, *, secured: bool
) -> Servers:
    ports_ = [ports.hold() for _ in range(5)]
    for port in ports_:
        held.callback(port.release)
    broker_port, controller, postgres_port, redis_port, mutual = (port.number for port in ports_)
    brokers = brokers or [kafka.KafkaBroker("kafka", broker_port, controller, mutual_port=mutual)]
    admin = postgres.admin_password(place)
    scheme = "rediss" if secured and binaries.has_tls(binaries.redis_server()) else "redis"
    addresses = addresses_of(
        Cluster(",".join(broker.address for broker in brokers)),
        f"postgresql://{postgres.ADMIN}:{admin}@127.0.0.1:{postgres_port}/postgres",
        f"{scheme}://127.0.0.1:{redis_port}",
        place if secured else None,
    )
    security = security_of(addresses)
    with ThreadPoolExecutor(2) as pool:
        made_brokers = pool.submit(kafka.prepare, place, brokers, security.kafka)
        made_postgres = pool.submit(postgres.prepare, place, postgres_port, security.postgres)
        redis = prepare_redis(place, redis_port, security)
    return Servers(addresses, (*made_brokers.result(), made_postgres.result(), redis), place)


def prepare_redis(folder: Path, port: int, security: ServerSecurity = OPEN) -> ChildProcess:
    data = folder / "redis"
    data.mkdir(mode=0o700, exist_ok=True)
    listens = ["--bind", "127.0.0.1", *security.redis_listener(folder, port)]
    command = [binaries.redis_server(), *DURABLE_REDIS, *listens, "--dir", str(data)]
    return ChildProcess("redis", command, folder / "redis.log")


def checks_of(addresses: Addresses, brokers: Sequence[Cluster]) -> tuple[Check, ...]:
    """One a server, in the order of `Servers.all`; each raises unless its server answers."""
    return (
        *(partial(_kafka_answers, broker) for broker in brokers),
        partial(postgres.answers, addresses.postgres_url),
        partial(_redis_answers, addresses.redis_url),
    )


async def _kafka_answers(broker: Cluster) -> None:
    host, port = broker.bootstrap.split(",", maxsplit=1)[0].rsplit(":", 1)
    with socket.create_connection((host, int(port)), 1):
        pass
    async with admin_client(broker) as admin:
        await admin.list_topics()


async def _redis_answers(url: str) -> None:
    async with RedisDatabase.at(url).client(socket_timeout=1) as client:
        await client.ping()  # not while it loads its data
