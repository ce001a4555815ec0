"""What servers of tests start from: made once, kept in this user's cache.

A folder with databases that are at their newest migrations, and with Kafka's data, which have the
services' topics, empty; and the classes that a broker loads. Servers that tests start have a copy of
the folder, so that they need not make it each time.
"""

import asyncio
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final

from chassis.kafka import ensure_topics, topics_of
from chassis.postgres import migrations
from guarantees.declared import migrations_of, service_of
from saga_cli.stack import binaries, kafka, ports, servers
from saga_cli.stack.processes import run
from saga_cli.stack.services import Services
from saga_cli.topology import SERVICES, Addresses

ROOT: Final = Path(__file__).parents[2]
SOURCES: Final = (
    *("*_svc/migrations/**/*.py", "chassis/postgres/schema.py"),
    *(
        "saga_cli/stack/*.py",
        "guarantees/services.py",
        "chassis/kafka/topics.py",
        "*_svc/service.py",
    ),
    "tests/support/prepared.py",
)
NAME: Final = "test-servers"
KEPT_S: Final = 7 * 86_400
"""A folder of another schema is removed when it was not used for so long."""
DUMP_S: Final = 120
"""A broker that ends writes its classes first."""


@cache
def prepared_folder() -> Path:
    folder = binaries.cached(f"{NAME}-{_digest()}", _make)
    os.utime(folder)
    return folder


def _digest() -> str:
    """Of what the folder follows from."""
    found = hashlib.sha256()
    for path in sorted(path for pattern in SOURCES for path in ROOT.glob(pattern)):
        found.update(path.read_bytes())
    program = binaries.postgres_folder() / "postgres"
    found.update(f"{program} {program.stat().st_mtime_ns}".encode())
    return found.hexdigest()[:16]


def _make(folder: Path) -> None:
    _remove_old(folder.parent)
    with _servers() as made:
        asyncio.run(_fill(made.addresses))
        made.kafka.stop()
        made.postgres.stop()
        _keep(made.folder, folder)
    classes = binaries.kafka_classes()
    if not classes.exists():
        _keep_classes(classes)


def _keep_classes(classes: Path) -> None:
    """Those of a broker that has met the services, which it writes when it ends."""
    scratch = classes.with_suffix(".new")
    with _servers(f"-XX:ArchiveClassesAtExit={scratch}") as made:
        _meet_services(made)
        made.kafka.stop(DUMP_S)
    scratch.rename(classes)


def _remove_old(cache: Path) -> None:
    for old in cache.glob(f"{NAME}-*/"):
        if old.stat().st_mtime < time.time() - KEPT_S:
            shutil.rmtree(old)


@contextmanager
def _servers(*java_options: str) -> Iterator[servers.Servers]:
    with ExitStack() as held:
        own, controller = ports.hold(), ports.hold()
        held.callback(own.release)
        held.callback(controller.release)
        broker = kafka.KafkaBroker("kafka", own.number, controller.number)
        options = (*broker.java_options, *java_options)
        made = servers.start(brokers=[replace(broker, java_options=options)])
        held.callback(made.stop)
        yield made


async def _fill(addresses: Addresses) -> None:
    for spec in SERVICES:
        await ensure_topics(addresses.kafka_bootstrap, topics_of(service_of(spec.name)))
        if spec.has_database:
            await migrations.migrate(migrations_of(spec.name), addresses.database_url(spec))


def _keep(made: Path, folder: Path) -> None:
    scratch = folder.with_suffix(".new")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    data = [made / name for name in ("kafka", "postgres", "postgres.secret", "programs")]
    run(["cp", "-a", *(str(path) for path in data if path.exists()), str(scratch)])
    scratch.rename(folder)


def _meet_services(made: servers.Servers) -> None:
    services = Services(made.addresses, made.folder)
    try:
        services.start_all()
    finally:
        services.stop()
