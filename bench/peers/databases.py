"""Databases and topics of one run's own."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import asyncpg
import psutil
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

PARTITIONS: Final = 12


@dataclass(frozen=True, slots=True)
class RunServers:
    """The servers, and what this run's databases and topics begin with."""

    database_url: str
    kafka: str
    run: str

    def url(self, database: str, scheme: str = "postgresql") -> str:
        parts = urlsplit(self.database_url)
        return parts._replace(scheme=scheme, path=f"/{self.name(database)}").geturl()

    def name(self, database: str) -> str:
        return f"peers_{self.run}_{database}"

    def topic(self, name: str) -> str:
        return f"peers.{self.run}.{name}"


@contextmanager
def made(
    place: RunServers, tables: Mapping[str, Iterable[str]], topics: Iterable[str]
) -> Iterator[None]:
    """Databases, each with the statements that fill it, and topics; all are removed at the end."""
    try:
        asyncio.run(_make(place, tables, topics))
        yield
    finally:
        asyncio.run(_remove(place, tables, topics))


async def _make(
    place: RunServers, tables: Mapping[str, Iterable[str]], topics: Iterable[str]
) -> None:
    await run(place.database_url, *(f"CREATE DATABASE {place.name(name)}" for name in tables))
    for name, statements in tables.items():
        await run(place.url(name), *statements)
    await _change_topics(place, topics, make=True)


async def _remove(place: RunServers, databases: Iterable[str], topics: Iterable[str]) -> None:
    await _change_topics(place, topics, make=False)
    drops = (f"DROP DATABASE IF EXISTS {place.name(name)} WITH (FORCE)" for name in databases)
    await run(place.database_url, *drops)


async def run(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def _change_topics(place: RunServers, topics: Iterable[str], *, make: bool) -> None:
    names = [place.topic(topic) for topic in topics]
    if not names:
        return
    admin = AIOKafkaAdminClient(bootstrap_servers=place.kafka)
    await admin.start()
    try:
        if make:
            await admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names])
        else:
            await admin.delete_topics(names)
    finally:
        await admin.close()


def servers_of(place: RunServers) -> dict[str, int]:
    """Process ids of PostgreSQL and Kafka, where they run on this machine."""
    ports = {
        urlsplit(place.database_url).port or 5432: "postgres",
        int(place.kafka.split(",")[0].rpartition(":")[2]): "kafka",
    }
    found = (c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN)
    listening = {c.laddr.port: c.pid for c in found if c.laddr and c.pid}
    return {name: listening[port] for port, name in ports.items() if port in listening}
