"""Kafka as local processes: one broker, or several that are each other's controllers (KRaft)."""

import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from saga_cli.stack import binaries
from saga_cli.stack.processes import ChildProcess, run
from saga_cli.stack.state import write_private

SETTINGS: Final = """
process.roles=broker,controller
node.id={number}
controller.quorum.voters={voters}
listeners={listeners}
advertised.listeners={advertised}
listener.security.protocol.map={protocols}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs={data}
auto.create.topics.enable=false
default.replication.factor={copies}
min.insync.replicas={in_sync}
unclean.leader.election.enable=false
offsets.topic.replication.factor={copies}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={in_sync}
broker.session.timeout.ms=6000
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
QUIET: Final = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""A broker lives for minutes beside its clients: else these jobs of Java took half of its CPU."""


@dataclass(frozen=True, slots=True)
class Door:
    """A listener for some clients only: its port, and the address that they are told."""

    name: str
    port: int
    advertised: str


@dataclass(frozen=True, slots=True)
class KafkaBroker:
    """Where one broker is. `within` is put before its command, such as what enters a namespace."""

    name: str
    port: int
    controller_port: int
    host: str = "127.0.0.1"
    doors: Sequence[Door] = ()
    within: Sequence[str] = ()
    java_options: Sequence[str] = ("-Xms256m", "-Xmx512m", *QUIET)

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"


def prepare(folder: Path, brokers: Sequence[KafkaBroker]) -> tuple[ChildProcess, ...]:
    """The processes, with formatted data folders; those that are there already are used as they are."""
    write_private(folder / "log4j2.yaml", LOG4J)
    java = _java(folder)
    cluster = secrets.token_urlsafe(16)

    def prepared(number: int) -> ChildProcess:
        broker = brokers[number - 1]
        config = folder / f"{broker.name}.properties"
        write_private(config, _settings(folder, brokers, number))
        (folder / broker.name).mkdir(mode=0o700, exist_ok=True)
        if not (folder / broker.name / "meta.properties").exists():
            make_data(config, cluster)
        options = [java[0], *broker.java_options, *java[1:]]
        command = [*broker.within, *options, "kafka.Kafka", str(config)]
        return ChildProcess(broker.name, command, folder / f"{broker.name}.log")

    with ThreadPoolExecutor(len(brokers)) as pool:
        return tuple(pool.map(prepared, range(1, len(brokers) + 1)))


def make_data(config: Path, cluster: str) -> None:
    """An empty data folder, as the configuration names it."""
    format_ = [*_java(config.parent), "-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool"]
    # With "=", as an id may begin with a dash.
    run([*format_, "format", f"--cluster-id={cluster}", "--config", str(config)])


def _java(folder: Path) -> list[str]:
    classpath = f"{binaries.kafka_jars()}/*"
    log4j, classes = folder / "log4j2.yaml", binaries.kafka_classes()
    shared = [f"-XX:SharedArchiveFile={classes}"] if classes.exists() else []
    return [binaries.java(), *shared, "-cp", classpath, f"-Dlog4j2.configurationFile={log4j}"]


def _settings(folder: Path, brokers: Sequence[KafkaBroker], number: int) -> str:
    """Of as many copies as there are brokers, up to three, all but one have a record."""
    broker, copies = brokers[number - 1], min(3, len(brokers))
    ports = {"PLAINTEXT": broker.port} | {d.name: d.port for d in broker.doors}
    advertised = {"PLAINTEXT": broker.address} | {d.name: d.advertised for d in broker.doors}
    listeners = ports | {"CONTROLLER": broker.controller_port}
    voters = (f"{n}@{b.host}:{b.controller_port}" for n, b in enumerate(brokers, 1))
    return SETTINGS.format(
        number=number,
        voters=",".join(voters),
        listeners=",".join(f"{name}://{broker.host}:{port}" for name, port in listeners.items()),
        advertised=",".join(f"{name}://{address}" for name, address in advertised.items()),
        protocols=",".join(f"{name}:PLAINTEXT" for name in listeners),
        data=folder / broker.name,
        copies=copies,
        in_sync=max(1, copies - 1),
    )
