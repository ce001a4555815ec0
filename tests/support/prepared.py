"""What servers of tests start from: made once, kept in this user's cache.

A folder with databases that are at their newest migrations, and with Kafka's formatted data; and the classes
that a broker loads. Servers that tests start have a copy of the folder, so that they need not make
it each time.
"""

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

from saga_cli.stack import binaries, kafka, ports, servers
from saga_cli.stack.processes import run
from saga_cli.stack.services import Services

ROOT: Final = Path(__file__).parents[2]
SOURCES: Final = (
    *("*_svc/migrations/**/*.py", "chassis/postgres/schema.py", "chassis/postgres/privileges.py"),
    *("saga_cli/stack/*.py", "guarantees/services.py"),
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
    classes = binaries.kafka_classes()
    with _servers(None if classes.exists() else classes.with_suffix(".new")) as made:
        made.postgres.stop()
        _keep(made.folder, folder)
        if not classes.exists():
            made.restart(made.postgres)
            _meet_services(made)
            made.kafka.stop(DUMP_S)
            classes.with_suffix(".new").rename(classes)


def _remove_old(cache: Path) -> None:
    for old in cache.glob(f"{NAME}-*/"):
        if old.stat().st_mtime < time.time() - KEPT_S:
            shutil.rmtree(old)


@contextmanager
def _servers(classes: Path | None) -> Iterator[servers.Servers]:
    """The broker writes what it has loaded to a file when it ends."""
    with ExitStack() as held:
        own, controller = ports.hold(), ports.hold()
        held.callback(own.release)
        held.callback(controller.release)
        broker = kafka.KafkaBroker("kafka", own.number, controller.number)
        if classes is not None:
            dump = f"-XX:ArchiveClassesAtExit={classes}"
            broker = replace(broker, java_options=(*broker.java_options, dump))
        made = servers.start(brokers=[broker])
        held.callback(made.stop)
        yield made


def _keep(made: Path, folder: Path) -> None:
    """The databases as they are, and Kafka's data as it was before its first start."""
    scratch = folder.with_suffix(".new")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    kafka.prepare(scratch, [kafka.KafkaBroker("kafka", 1, 2)])
    databases = [made / name for name in ("postgres", "postgres.secret", "programs")]
    run(["cp", "-a", *(str(path) for path in databases if path.exists()), str(scratch)])
    scratch.rename(folder)


def _meet_services(made: servers.Servers) -> None:
    services = Services(made.addresses, made.folder)
    try:
        services.start_all()
    finally:
        services.stop()
