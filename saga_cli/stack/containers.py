"""The same three servers as containers, where a Docker engine answers."""

import os
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from chassis.kafka import Cluster
from saga_cli.stack import ports, postgres, servers, watchdog
from saga_cli.stack.binaries import print_line
from saga_cli.stack.processes import ChildProcess
from saga_cli.topology import addresses_of

KAFKA_IMAGE: Final = "apache/kafka:4.1.0"
POSTGRES_IMAGE: Final = "postgres:17"
REDIS_IMAGE: Final = "redis:7"


@dataclass
class Container(ChildProcess):
    """A container with the handles of a process; `command` is what `docker run` is given."""

    container: str = ""

    def start(self) -> None:
        if not self.container:
            self.container = _docker("run", "-d", *self.command, env=self.env)
            watchdog.watch(container=self.container)
        else:
            _docker("start", self.container)

    @property
    def pid(self) -> int:
        return int(_docker("inspect", "-f", "{{.State.Pid}}", self.container))

    def is_alive(self) -> bool:
        try:
            return _docker("inspect", "-f", "{{.State.Running}}", self.container) == "true"
        except RuntimeError:  # there is none any more
            return False

    def stop(self, seconds: float = 20) -> int | None:
        _docker("stop", "-t", str(int(seconds)), self.container)
        return 0

    def kill(self) -> None:
        if self.is_alive():
            _docker("kill", self.container)

    def tail(self, lines: int = 20) -> str:
        return _docker("logs", "--tail", str(lines), self.container)


def start() -> servers.Servers:
    """Start the containers on free loopback ports and wait until each answers."""
    for image in (KAFKA_IMAGE, POSTGRES_IMAGE, REDIS_IMAGE):
        _pull(image)
    admin = secrets.token_urlsafe(12)
    kafka, database, redis = _free_port(), _free_port(), _free_port()
    addresses = addresses_of(
        Cluster(f"127.0.0.1:{kafka}"),
        f"postgresql://saga:{admin}@127.0.0.1:{database}/postgres",
        f"redis://127.0.0.1:{redis}",
    )
    with ExitStack() as held:
        folder = held.enter_context(servers.private_folder())
        made = (
            Container("kafka", _kafka(kafka), folder / "kafka.log"),
            Container(
                "postgres",
                _postgres(database),
                folder / "postgres.log",
                {"POSTGRES_PASSWORD": admin},
            ),
            Container("redis", _redis(redis), folder / "redis.log"),
        )
        held.callback(_remove, made)
        return servers.Servers(addresses, made, folder).bring_up(held)


def _remove(made: Sequence[Container]) -> None:
    if started := [one.container for one in made if one.container]:
        _docker("rm", "-f", "-v", *started)


def _pull(image: str) -> None:
    try:
        _docker("image", "inspect", "-f", "{{.Id}}", image)
    except RuntimeError:
        print_line(f"fetching the image {image} (once)")
        _docker("pull", "-q", image)


def _free_port() -> int:
    """A port that is free now; the engine may not let us keep it while it opens it."""
    port = ports.hold()
    port.release()
    return port.number


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
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": "1000",
    }
    variables = [f"--env={name}={value}" for name, value in settings.items()]
    return ["-p", f"127.0.0.1:{port}:{port}", *variables, KAFKA_IMAGE]


def _postgres(port: int) -> list[str]:
    variables = ["--env=POSTGRES_USER=saga", "--env=POSTGRES_PASSWORD"]  # from the environment
    # Inside the container it listens anywhere; outside it is loopback.
    options = postgres.options_of({**postgres.OPTIONS, "listen_addresses": "*"})
    return ["-p", f"127.0.0.1:{port}:5432", *variables, POSTGRES_IMAGE, *options]


def _redis(port: int) -> list[str]:
    durable = ["--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"]
    return ["-p", f"127.0.0.1:{port}:6379", REDIS_IMAGE, "redis-server", *durable]


def _docker(*words: str, env: Mapping[str, str] | None = None) -> str:
    """`env` are variables of the client, for what no process list may show."""
    variables, command = {**os.environ, **(env or {})}, ["docker", *words]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)  # noqa: S603 - no shell: `docker` of the PATH, and words of this module
    if result.returncode:
        raise RuntimeError(f"docker {words[0]} failed: {result.stderr.strip()[-500:]}")
    return result.stdout.strip()
