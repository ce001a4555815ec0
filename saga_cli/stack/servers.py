"""Kafka, PostgreSQL and Redis as local processes: private data, free ports, loopback only."""

import asyncio
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg

from saga_cli.stack import binaries
from saga_cli.stack.processes import Process, free_port, guard
from saga_cli.topology import SERVICES, Addresses

START_S: Final = 60
KAFKA: Final = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={folder}/kafka
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
log.message.timestamp.type=CreateTime
"""
LOG4J: Final = """
Configuration:
  status: "warn"
  Appenders:
    Console:
      name: out
      PatternLayout:
        pattern: "%d %p %m (%c)%n"
  Loggers:
    Root:
      level: warn
      AppenderRef:
        ref: out
"""
POSTGRES: Final = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    "autovacuum_naptime": "10s",
}


@dataclass
class Servers:
    """Three running servers. `stop` takes them down and removes their data."""

    addresses: Addresses
    kafka: Process
    postgres: Process
    redis: Process
    folder: Path
    keep: bool = False

    @property
    def all(self) -> tuple[Process, ...]:
        return (self.kafka, self.postgres, self.redis)

    def stop(self) -> None:
        for server in self.all:
            server.kill() if not self.keep else server.stop()
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def restart(self, server: Process) -> None:
        """Start a server that was stopped or killed, on its port and its data; wait until it answers."""
        if server is self.postgres:
            (self.folder / "postgres" / "postmaster.pid").unlink(missing_ok=True)
        server.start()
        self.await_answer(server)

    def await_answer(self, server: Process) -> None:
        checks: dict[str, Callable[[Addresses], None]] = {
            "kafka": _kafka_answers,
            "postgres": _postgres_answers,
            "redis": _redis_answers,
        }
        _await(server, lambda: checks[server.name](self.addresses))


def start(folder: Path | None = None) -> Servers:
    """Start the three at once; a given folder keeps its data.

    Raises MissingProgramError, or RuntimeError with the end of the log of a server that fails.
    """
    keep = folder is not None
    folder = folder or Path(tempfile.mkdtemp(prefix="saga-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711)
    if not keep:
        guard(folder)
    passwords = {spec.role: secrets.token_urlsafe(12) for spec in SERVICES}
    admin = secrets.token_urlsafe(12)
    kafka_port, postgres_port, redis_port = free_port(), free_port(), free_port()
    with ThreadPoolExecutor(3) as pool:
        kafka = pool.submit(_prepare_kafka, folder, kafka_port)
        postgres = pool.submit(_prepare_postgres, folder, postgres_port, admin)
        redis = _prepare_redis(folder, redis_port)
        prepared = (kafka.result(), postgres.result(), redis)
    addresses = Addresses(
        kafka_bootstrap=f"127.0.0.1:{kafka_port}",
        postgres_url=f"postgresql://saga:{admin}@127.0.0.1:{postgres_port}/postgres",
        redis_url=f"redis://127.0.0.1:{redis_port}",
        passwords=passwords,
    )
    servers = Servers(addresses, *prepared, folder, keep)
    try:
        for server in servers.all:  # from this thread: the death signal is tied to it
            server.start()
        for server in servers.all:
            servers.await_answer(server)
        asyncio.run(create_databases(addresses))
    except BaseException:
        servers.stop()
        raise
    return servers


def _prepare_kafka(folder: Path, port: int) -> Process:
    classpath = f"{binaries.kafka_jars()}/*"
    config, log4j = folder / "kafka.properties", folder / "log4j2.yaml"
    config.write_text(KAFKA.format(port=port, controller=free_port(), folder=folder))
    log4j.write_text(LOG4J)
    java = [binaries.java(), "-cp", classpath, f"-Dlog4j2.configurationFile={log4j}"]
    cluster = secrets.token_urlsafe(16)
    format_ = [*java, "-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool", "format"]
    _run([*format_, f"--cluster-id={cluster}", "-c", str(config), "--ignore-formatted"])
    heap = ["-Xms256m", "-Xmx512m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"]
    command = [java[0], *heap, *java[1:], "kafka.Kafka", str(config)]
    return Process("kafka", command, folder / "kafka.log")


def _prepare_postgres(folder: Path, port: int, password: str) -> Process:
    data, user = folder / "postgres", _unprivileged()
    bin_ = binaries.reachable(binaries.postgres_folder(), user, folder)
    if not data.exists():
        secret = folder / "postgres.secret"
        data.mkdir()
        secret.write_text(password)
        if user:
            shutil.chown(data, user)
            shutil.chown(secret, user)
        init = [str(bin_ / "initdb"), "-D", str(data), "-U", "saga", "-E", "UTF8", "--locale=C"]
        _run([*init, "-A", "scram-sha-256", f"--pwfile={secret}"], user)
        secret.unlink()
    options = [part for name, value in POSTGRES.items() for part in ("-c", f"{name}={value}")]
    place = ["-D", str(data), "-p", str(port), "-k", str(data)]
    command = [str(bin_ / "postgres"), *place, *options]
    log = folder / "postgres.log"
    return Process("postgres", command, log, user=user, folder=data, stop_signal=signal.SIGINT)


def _prepare_redis(folder: Path, port: int) -> Process:
    data = folder / "redis"
    data.mkdir(exist_ok=True)
    durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
    limits = ["--maxmemory-policy", "noeviction", "--bind", "127.0.0.1", "--port", str(port)]
    command = [binaries.redis_server(), *limits, *durable, "--dir", str(data)]
    return Process("redis", command, folder / "redis.log")


def _unprivileged() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in names)


def _run(command: list[str], user: str | None = None) -> None:
    result = subprocess.run(
        command, capture_output=True, text=True, user=user, cwd="/", check=False
    )
    if result.returncode:
        raise RuntimeError(
            f"{Path(command[0]).name} failed: {(result.stderr or result.stdout)[-800:]}"
        )


async def create_databases(addresses: Addresses) -> None:
    """Five services, four databases: each role owns its own and can't even connect to another's."""
    admin = await asyncpg.connect(addresses.postgres_url)
    try:
        for spec in (spec for spec in SERVICES if spec.has_database):
            password = addresses.passwords[spec.role]
            exists = await admin.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", spec.role)
            verb = "ALTER" if exists else "CREATE"
            await admin.execute(f"{verb} ROLE {spec.role} LOGIN PASSWORD '{password}'")
            query = "SELECT 1 FROM pg_database WHERE datname = $1"
            if not await admin.fetchval(query, spec.database):
                await admin.execute(f"CREATE DATABASE {spec.database} OWNER {spec.role}")
            await admin.execute(f"REVOKE CONNECT ON DATABASE {spec.database} FROM PUBLIC")
    finally:
        await admin.close()


def _await(server: Process, check: Callable[[], None]) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            check()
        except Exception as error:
            if not server.is_alive() or time.monotonic() > deadline:
                why = f"{server.name} does not answer ({error!r}); the end of its log:"
                raise RuntimeError(f"{why}\n{server.tail()}") from error
            time.sleep(0.05)
        else:
            return


def _kafka_answers(addresses: Addresses) -> None:
    from aiokafka.admin import AIOKafkaAdminClient  # noqa: PLC0415 - slow to import, not always used

    async def ask() -> None:
        host, port = addresses.kafka_bootstrap.rsplit(":", 1)
        with socket.create_connection((host, int(port)), 1):
            pass
        client = AIOKafkaAdminClient(bootstrap_servers=addresses.kafka_bootstrap)
        try:
            await client.start()
            await client.list_topics()
        finally:
            await client.close()

    asyncio.run(ask())


def _postgres_answers(addresses: Addresses) -> None:
    async def ask() -> None:
        connection = await asyncpg.connect(addresses.postgres_url, timeout=2)
        await connection.close()

    asyncio.run(ask())


def _redis_answers(addresses: Addresses) -> None:
    host, port = addresses.redis_url.removeprefix("redis://").rsplit(":", 1)
    with socket.create_connection((host, int(port)), 1) as connection:
        connection.sendall(b"PING\r\n")
        if not connection.recv(64).startswith(b"+PONG"):
            raise ConnectionError("Redis is loading")
