"""The same three servers as containers, where a Docker engine answers."""

import asyncio
import secrets
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from saga_cli.stack import servers
from saga_cli.stack.processes import Process, free_port, guard
from saga_cli.topology import SERVICES, Addresses

KAFKA_IMAGE: Final = "apache/kafka:4.1.0"
POSTGRES_IMAGE: Final = "postgres:17"
REDIS_IMAGE: Final = "redis:7"


@dataclass
class Container(Process):
    """A container with the handles of a process; `command` is what `docker run` is given."""

    container: str = ""

    def start(self) -> None:
        if not self.container:
            self.container = _docker("run", "-d", *self.command)
        else:
            _docker("start", self.container)

    @property
    def pid(self) -> int:
        return int(_docker("inspect", "-f", "{{.State.Pid}}", self.container))

    def is_alive(self) -> bool:
        return _docker("inspect", "-f", "{{.State.Running}}", self.container) == "true"

    def stop(self, seconds: float = 20) -> int | None:
        _docker("stop", "-t", str(int(seconds)), self.container)
        return 0

    def kill(self) -> None:
        if self.is_alive():
            _docker("kill", self.container)

    def suspend(self) -> None:
        _docker("pause", self.container)

    def resume(self) -> None:
        _docker("unpause", self.container)

    def tail(self, lines: int = 20) -> str:
        return _docker("logs", "--tail", str(lines), self.container)


@dataclass
class ContainerServers(servers.Servers):
    def stop(self) -> None:
        for server in self.all:
            if isinstance(server, Container) and server.container:
                _docker("rm", "-f", "-v", server.container)
        super().stop()


def start() -> servers.Servers:
    """Start the containers on free loopback ports and wait until each answers."""
    folder = Path(tempfile.mkdtemp(prefix="saga-"))
    guard(folder)
    admin = secrets.token_urlsafe(12)
    kafka, postgres, redis = free_port(), free_port(), free_port()
    addresses = Addresses(
        f"127.0.0.1:{kafka}",
        f"postgresql://saga:{admin}@127.0.0.1:{postgres}/postgres",
        f"redis://127.0.0.1:{redis}",
        {spec.role: secrets.token_urlsafe(12) for spec in SERVICES},
    )
    made = ContainerServers(
        addresses,
        Container("kafka", _kafka(kafka), folder / "kafka.log"),
        Container("postgres", _postgres(postgres, admin), folder / "postgres.log"),
        Container("redis", _redis(redis), folder / "redis.log"),
        folder,
    )
    try:
        for server in made.all:
            server.start()
        for server in made.all:
            made.await_answer(server)
        asyncio.run(servers.create_databases(addresses))
    except BaseException:
        made.stop()
        raise
    return made


def _kafka(port: int) -> list[str]:
    settings = {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_LISTENERS": f"PLAINTEXT://:{port},CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{port}",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    }
    variables = [part for name, value in settings.items() for part in ("-e", f"{name}={value}")]
    return ["-p", f"127.0.0.1:{port}:{port}", *variables, KAFKA_IMAGE]


def _postgres(port: int, password: str) -> list[str]:
    variables = ["-e", "POSTGRES_USER=saga", "-e", f"POSTGRES_PASSWORD={password}"]
    options = [
        part for name, value in servers.POSTGRES.items() for part in ("-c", f"{name}={value}")
    ]
    anywhere = ["-c", "listen_addresses=*"]  # inside the container; outside it is loopback
    return ["-p", f"127.0.0.1:{port}:5432", *variables, POSTGRES_IMAGE, *options, *anywhere]


def _redis(port: int) -> list[str]:
    durable = ["--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"]
    return ["-p", f"127.0.0.1:{port}:6379", REDIS_IMAGE, "redis-server", *durable]


def _docker(*words: str) -> str:
    result = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"docker {words[0]} failed: {result.stderr.strip()[-500:]}")
    return result.stdout.strip()
