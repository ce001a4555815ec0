"""Real servers for tests: those of the environment, containers where Docker answers, else local."""

import os
import secrets
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from chassis.kafka import Cluster
from saga_cli.stack import postgres, provision, servers
from saga_cli.stack.processes import ChildProcess
from saga_cli.stack.seed import seed
from saga_cli.stack.services import Services
from saga_cli.topology import BY_NAME, GIVEN, SERVICES, Addresses, addresses_of
from tests.support.prepared import prepared_folder


@contextmanager
def shared_servers() -> Iterator[Addresses]:
    """Servers that many tests use; nobody stops or breaks them."""
    given = any(os.environ.get(name) for name in GIVEN)
    if not given and provision.docker_answers():
        with _containers() as addresses:
            yield addresses
        return
    made = provision.provide() if given else servers.start(prepared=prepared_folder())
    try:
        yield made.addresses
    finally:
        made.stop()


class SharedStack:
    """All services from the first test that asks until it is ended.

    Each has two instances, one with all fast paths and one without, as while a setting is rolled out.
    """

    def __init__(self) -> None:
        self._held = ExitStack()
        self._services: Services | None = None

    @property
    def running(self) -> Services:
        if self._services is None:
            self._services = self._held.enter_context(_two_of_each())
            seed(self._services.url)
        return self._services

    def end(self) -> None:
        self._services = None
        self._held.close()


def fast_paths(service: str, on: str) -> dict[str, str]:
    """The variable that switches them; `all`, `none`, or names with commas between."""
    return {f"{BY_NAME[service].prefix}_FAST_PATHS": on}


@contextmanager
def _two_of_each() -> Iterator[Services]:
    with shared_servers() as found, tempfile.TemporaryDirectory() as logs:
        services = Services(found, Path(logs))
        try:
            for spec in SERVICES:
                for on in ("all", "none"):
                    services.start(spec.name, fast_paths(spec.name, on))
            services.await_ready(services.instances)
            yield services
        finally:
            codes = services.stop()
        assert set(codes.values()) == {0}, f"a service did not stop well: {codes}"


@contextmanager
def private_servers() -> Iterator[servers.Servers]:
    """Servers of one test, which it may kill and restart."""
    made = servers.start(prepared=prepared_folder())
    try:
        yield made
    finally:
        made.stop()


LOOKS: Final = {f"{spec.prefix}_OUTBOX_LOOK_MS": "500" for spec in SERVICES}
"""Where services have one process, looks for the rows of others took a fifth of what a stack takes idle."""


@contextmanager
def private_stack() -> Iterator[tuple[Services, servers.Servers]]:
    """Servers of one test, and no service yet."""
    with private_servers() as made:
        services = Services(made.addresses, made.folder, variables=LOOKS)
        try:
            yield services, made
        finally:
            services.stop()


@contextmanager
def running_shop() -> Iterator[Services]:
    """A system of one test module's own: all services, and a small shop."""
    with private_stack() as (services, _):
        start_each(services)
        yield services


def start_each(
    services: Services,
    without: Collection[str] = ("inventory", "shipping"),
    variables: Mapping[str, str] | None = None,
) -> None:
    """One process of each service, and a small shop; some are without fast paths."""
    for spec in SERVICES:
        paths = fast_paths(spec.name, "none" if spec.name in without else "all")
        services.start(spec.name, {**paths, **(variables or {})})
    services.await_ready(services.instances)
    seed(services.url)


@contextmanager
def _containers() -> Iterator[Addresses]:
    from testcontainers.kafka import KafkaContainer  # noqa: PLC0415 - needs an engine at import
    from testcontainers.postgres import PostgresContainer  # noqa: PLC0415
    from testcontainers.redis import RedisContainer  # noqa: PLC0415

    admin = secrets.token_urlsafe(12)
    durable = "redis-server --appendonly yes --appendfsync always"
    with (
        KafkaContainer("confluentinc/cp-kafka:7.9.0")
        .with_kraft()
        .with_env("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false") as broker,
        PostgresContainer("postgres:17", username="saga", password=admin).with_command(
            "postgres -c max_connections=200"
        ) as database,
        RedisContainer("redis:7").with_command(durable) as cache,
    ):
        place = f"{database.get_container_host_ip()}:{database.get_exposed_port(5432)}"
        addresses = addresses_of(
            Cluster(broker.get_bootstrap_server()),
            f"postgresql://saga:{admin}@{place}/postgres",
            f"redis://{cache.get_container_host_ip()}:{cache.get_exposed_port(6379)}",
        )
        postgres.create_databases(addresses)
        yield addresses


def log_of(process: ChildProcess) -> str:
    return Path(process.log).read_text(errors="replace")
