"""Kafka, PostgreSQL and Redis as local processes: private data, free ports, loopback only."""

import asyncio
import fcntl
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self

from redis import Redis

from saga_cli.stack import binaries, kafka, ports, postgres, watchdog
from saga_cli.stack.processes import ChildProcess, run
from saga_cli.terminal import message_of
from saga_cli.topology import Addresses, addresses_of

START_S: Final = 60


@dataclass
class Servers:
    """The running servers. `stop` takes them down and removes their data, unless it is to keep."""

    addresses: Addresses
    brokers: tuple[ChildProcess, ...]
    postgres: ChildProcess
    redis: ChildProcess
    folder: Path
    keep: bool = False
    held: ExitStack = field(default_factory=ExitStack)
    """Let go of after the servers: ports, and the folder, which is unlocked or removed."""

    @property
    def kafka(self) -> ChildProcess:
        """The only broker, or the first."""
        return self.brokers[0]

    @property
    def all(self) -> tuple[ChildProcess, ...]:
        return (*self.brokers, self.postgres, self.redis)

    def bring_up(self) -> Self:
        """Start all at once, wait until each answers, and make the databases; all or none."""
        try:
            for server in self.all:
                server.start()
            for server in self.all:
                self.await_answer(server)
            postgres.create_databases(self.addresses)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        for server in self.all:
            server.stop() if self.keep else server.kill()
        self.held.close()

    def restart(self, server: ChildProcess) -> None:
        """Start a server that was stopped or killed, on its port and its data; wait until it answers."""
        if server is self.postgres:
            (self.folder / "postgres" / "postmaster.pid").unlink(missing_ok=True)
        server.start()
        self.await_answer(server)

    def await_answer(self, server: ChildProcess) -> None:
        kind, addresses = server.name, self.addresses
        if server in self.brokers:  # it has to answer itself
            own = addresses.kafka_bootstrap.split(",")[self.brokers.index(server)]
            kind, addresses = "kafka", replace(addresses, kafka_bootstrap=own)
        _await(server, lambda: CHECKS[kind](addresses))


def start(
    folder: Path | None = None,
    brokers: Sequence[kafka.KafkaBroker] = (),
    prepared: Path | None = None,
) -> Servers:
    """Start all at once, with one broker unless others are given; a given folder keeps its data.

    A private one begins as a copy of a prepared one, if there is one.
    Raises MissingProgramError, or RuntimeError with the end of the log of a server that fails.
    """
    place, held = private_folder() if folder is None else _kept_folder(folder)
    try:
        if prepared is not None:
            run(["cp", "-a", f"{prepared}/.", str(place)])
            place.chmod(0o711)
        return _start(place, held, brokers, keep=folder is not None)
    except BaseException:
        held.close()
        raise


def private_folder() -> tuple[Path, ExitStack]:
    """A new folder that is removed when the stack is closed or this process is gone."""
    folder, held = Path(tempfile.mkdtemp(prefix="saga-")), ExitStack()
    watchdog.watch(folder=folder)
    held.callback(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o711)
    return folder, held


def _kept_folder(folder: Path) -> tuple[Path, ExitStack]:
    """The folder with a lock that the system takes back when this process is gone."""
    folder, held = folder.resolve(), ExitStack()
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        folder.chmod(folder.stat().st_mode | 0o011)  # PostgreSQL's data is its own user's
    lock = held.enter_context((folder / "lock").open("w"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        held.close()
        raise RuntimeError(f"another stack uses {folder}") from error
    return folder, held


def _start(
    place: Path, held: ExitStack, brokers: Sequence[kafka.KafkaBroker], *, keep: bool
) -> Servers:
    ports_ = [ports.hold() for _ in range(4)]
    for port in ports_:
        held.callback(port.release)
    broker_port, controller, postgres_port, redis = (port.number for port in ports_)
    brokers = brokers or [kafka.KafkaBroker("kafka", broker_port, controller)]
    admin = postgres.admin_password(place)
    with ThreadPoolExecutor(2) as pool:
        prepared_brokers = pool.submit(kafka.prepare, place, brokers)
        prepared_postgres = pool.submit(postgres.prepare, place, postgres_port)
        prepared_redis = prepare_redis(place, redis)
    addresses = addresses_of(
        ",".join(broker.address for broker in brokers),
        f"postgresql://saga:{admin}@127.0.0.1:{postgres_port}/postgres",
        f"redis://127.0.0.1:{redis}",
    )
    servers = Servers(
        addresses,
        prepared_brokers.result(),
        prepared_postgres.result(),
        prepared_redis,
        place,
        keep,
        held,
    )
    return servers.bring_up()


def prepare_redis(folder: Path, port: int) -> ChildProcess:
    data = folder / "redis"
    data.mkdir(exist_ok=True)
    durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
    limits = ["--maxmemory-policy", "noeviction", "--bind", "127.0.0.1", "--port", str(port)]
    command = [binaries.redis_server(), *limits, *durable, "--dir", str(data)]
    return ChildProcess("redis", command, folder / "redis.log")


def _await(server: ChildProcess, check: Callable[[], None]) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            check()
        except Exception as error:
            if not server.is_alive() or time.monotonic() > deadline:
                why = f"{server.name} does not answer ({message_of(error)}); the end of its log:"
                raise RuntimeError(f"{why}\n{server.tail()}") from error
            time.sleep(0.05)
        else:
            return


def _kafka_answers(addresses: Addresses) -> None:
    from aiokafka.admin import AIOKafkaAdminClient  # noqa: PLC0415 - slow to import, not always used

    async def ask() -> None:
        host, port = addresses.kafka_bootstrap.split(",")[0].rsplit(":", 1)
        with socket.create_connection((host, int(port)), 1):
            pass
        client = AIOKafkaAdminClient(bootstrap_servers=addresses.kafka_bootstrap)
        try:
            await client.start()
            await client.list_topics()
        finally:
            await client.close()

    asyncio.run(ask())


def _redis_answers(addresses: Addresses) -> None:
    with Redis.from_url(addresses.redis_url, socket_timeout=1) as client:
        client.ping()  # not while it loads its data


CHECKS: Final[dict[str, Callable[[Addresses], None]]] = {
    "kafka": _kafka_answers,
    "postgres": postgres.answers,
    "redis": _redis_answers,
}
"""Each raises unless its server answers."""
