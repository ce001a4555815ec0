"""Kafka as local processes: one broker, or several that are each other's controllers (KRaft)."""

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from saga_cli.stack import binaries
from saga_cli.stack.authority import LOOPBACK, Authority
from saga_cli.stack.processes import ChildProcess, run
from saga_cli.stack.state import write_private

SETTINGS: Final = """
process.roles=broker,controller
node.id={number}
controller.quorum.voters={voters}
listeners={listeners}
advertised.listeners={advertised}
listener.security.protocol.map={protocols}
inter.broker.listener.name={between}
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
metadata.max.idle.interval.ms=5000
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
num.network.threads=2
num.io.threads=4
log.message.timestamp.type=CreateTime
"""
"""Twice a second a controller with nothing to do writes a record that says nothing, a third of the CPU of an
idle broker; here each five seconds."""
SECURED: Final = """
ssl.keystore.type=PEM
ssl.keystore.location={certificate}
ssl.truststore.type=PEM
ssl.truststore.location={authority}
ssl.client.auth=required
ssl.principal.mapping.rules=RULE:^CN=([^,]+).*$/$1/,DEFAULT
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:{admin};User:{broker}
"""
LOGIN_LISTENER: Final = """
listener.name.{name}.ssl.client.auth=none
listener.name.{name}.sasl.enabled.mechanisms={mechanism}
listener.name.{name}.{own}.sasl.jaas.config={module} required{users};
"""
SCRAM_MODULE: Final = "org.apache.kafka.common.security.scram.ScramLoginModule"
PLAIN_MODULE: Final = "org.apache.kafka.common.security.plain.PlainLoginModule"
ADMIN: Final = "admin"
BROKER: Final = "broker"
"""Users that may do anything: an administrator, and the brokers among themselves."""
MUTUAL: Final = "MUTUAL"
"""The listener of a secured broker on which brokers know each other by their certificates."""
NOBODY: Final[Mapping[str, str]] = {}
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
    protocol: str = "PLAINTEXT"


@dataclass(frozen=True, slots=True)
class Secured:
    """Brokers with TLS, logins and an authorizer. `passwords` are by user, an administrator's among them.

    A broker has two listeners then: on its port a user logs in (SASL_SSL), on its `mutual_port` a
    certificate's common name is the user (mutual TLS), which is also how brokers know each other.
    `more` are other properties.
    """

    authority: Authority
    passwords: Mapping[str, str]
    more: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BrokerFiles:
    """Where a secured broker finds them: its data, its key with its certificate, and the authority's."""

    data: Path
    certificate: Path
    ca_file: Path


@dataclass(frozen=True, slots=True)
class KafkaBroker:
    """Where one broker is. `within` is put before its command, such as what enters a namespace.

    It listens at `host`, or at the address `listens_at`; "" is every address.
    """

    name: str
    port: int
    controller_port: int
    host: str = "127.0.0.1"
    doors: Sequence[Door] = ()
    within: Sequence[str] = ()
    java_options: Sequence[str] = ("-Xms256m", "-Xmx512m", *QUIET)
    mutual_port: int = 0
    listens_at: str | None = None

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"


def prepare(
    folder: Path, brokers: Sequence[KafkaBroker], secured: Secured | None = None
) -> tuple[ChildProcess, ...]:
    """The processes, with formatted data folders; those that are there already are used as they are."""
    write_private(folder / "log4j2.yaml", LOG4J)
    java = java_words(folder)
    cluster = secrets.token_urlsafe(16)

    def prepared(number: int) -> ChildProcess:
        broker = brokers[number - 1]
        config = folder / f"{broker.name}.properties"
        write_private(config, _settings(folder, brokers, number, secured))
        (folder / broker.name).mkdir(mode=0o700, exist_ok=True)
        if not (folder / broker.name / "meta.properties").exists():
            make_data(config, cluster, secured.passwords if secured else NOBODY)
        options = [java[0], *broker.java_options, *java[1:]]
        command = [*broker.within, *options, "kafka.Kafka", str(config)]
        return ChildProcess(broker.name, command, folder / f"{broker.name}.log")

    with ThreadPoolExecutor(len(brokers)) as pool:
        return tuple(pool.map(prepared, range(1, len(brokers) + 1)))


def make_data(config: Path, cluster: str, passwords: Mapping[str, str] = NOBODY) -> None:
    """An empty data folder, as the configuration names it, with users who log in by SCRAM."""
    format_ = [*java_words(config.parent), "-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool"]
    # With "=", as an id may begin with a dash.
    words = ["format", f"--cluster-id={cluster}", "--config", str(config)]
    with private_words(config.with_suffix(".users"), _users(passwords)) as given:
        run([*format_, *words, *given])


def _users(passwords: Mapping[str, str]) -> Iterator[str]:
    for user, password in passwords.items():
        yield f"--add-scram=SCRAM-SHA-512=[name={user},iterations=8192,password={password}]"


@contextmanager
def private_words(file: Path, words: Iterable[str]) -> Iterator[list[str]]:
    """Arguments for one of Kafka's tools that hold secrets: a list of processes would show them."""
    if not (lines := [*words]):
        yield []
        return
    write_private(file, "\n".join(lines))
    try:
        yield [f"@{file}"]
    finally:
        file.unlink()


def java_words(folder: Path) -> list[str]:
    classpath = f"{binaries.kafka_jars()}/*"
    log4j, classes = folder / "log4j2.yaml", binaries.kafka_classes()
    shared = [f"-XX:SharedArchiveFile={classes}"] if classes.exists() else []
    return [binaries.java(), *shared, "-cp", classpath, f"-Dlog4j2.configurationFile={log4j}"]


def _settings(
    folder: Path, brokers: Sequence[KafkaBroker], number: int, secured: Secured | None
) -> str:
    """With a certificate of its own for each start, where it is secured."""
    broker = brokers[number - 1]
    doors = _doors(broker, is_secured=secured is not None)
    settings = _open_settings(brokers, number, doors, folder / broker.name)
    if secured is None:
        return settings
    hosts = [*LOOPBACK, broker.host]
    certificate = secured.authority.issue(BROKER, hosts, file=broker.name)
    files = BrokerFiles(folder / broker.name, certificate.both, secured.authority.ca_file)
    more = (f"{name}={value}\n" for name, value in secured.more.items())
    return "".join((settings, _security(doors, files), *more))


def settings_with_users(
    broker: KafkaBroker, files: BrokerFiles, passwords: Mapping[str, str]
) -> str:
    """The settings of an only broker whose users are not in its data, but here; they log in by PLAIN."""
    doors = _doors(broker, is_secured=True)
    return _open_settings([broker], 1, doors, files.data) + _security(doors, files, passwords)


def _open_settings(
    brokers: Sequence[KafkaBroker], number: int, doors: Sequence[Door], data: Path
) -> str:
    """Of as many copies as there are brokers, up to three, all but one have a record."""
    broker, copies = brokers[number - 1], min(3, len(brokers))
    is_secured = any(door.name == MUTUAL for door in doors)
    control = Door("CONTROLLER", broker.controller_port, "", "SSL" if is_secured else "PLAINTEXT")
    voters = (f"{n}@{b.host}:{b.controller_port}" for n, b in enumerate(brokers, 1))
    listeners = [*doors, control]
    at = broker.host if broker.listens_at is None else broker.listens_at
    return SETTINGS.format(
        number=number,
        voters=",".join(voters),
        listeners=",".join(f"{door.name}://{at}:{door.port}" for door in listeners),
        advertised=",".join(f"{door.name}://{door.advertised}" for door in doors),
        protocols=",".join(f"{door.name}:{door.protocol}" for door in listeners),
        between=MUTUAL if is_secured else "PLAINTEXT",
        data=data,
        copies=copies,
        in_sync=max(1, copies - 1),
    )


def _doors(broker: KafkaBroker, *, is_secured: bool) -> list[Door]:
    if not is_secured:
        return [Door("PLAINTEXT", broker.port, broker.address), *broker.doors]
    mutual = f"{broker.host}:{broker.mutual_port}"
    return [
        Door("LOGIN", broker.port, broker.address, "SASL_SSL"),
        Door(MUTUAL, broker.mutual_port, mutual, "SSL"),
        *broker.doors,
    ]


def _security(
    doors: Sequence[Door], files: BrokerFiles, passwords: Mapping[str, str] = NOBODY
) -> str:
    """Users are those of the data, who log in by SCRAM, or those given here, who do by PLAIN."""
    settings = SECURED.format(
        certificate=files.certificate, authority=files.ca_file, admin=ADMIN, broker=BROKER
    )
    mechanism, module = ("PLAIN", PLAIN_MODULE) if passwords else ("SCRAM-SHA-512", SCRAM_MODULE)
    users = "".join(f' user_{name}="{password}"' for name, password in passwords.items())
    logins = (
        LOGIN_LISTENER.format(
            name=door.name.lower(),
            mechanism=mechanism,
            own=mechanism.lower(),
            module=module,
            users=users,
        )
        for door in doors
        if door.protocol == "SASL_SSL"
    )
    return "".join((settings, *logins))
