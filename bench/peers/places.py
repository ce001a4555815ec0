"""Databases and topics of one run's own, and how much CPU processes take."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import asyncpg
import psutil
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bench.peers.shop import TABLES

PARTITIONS: Final = 12


@dataclass(frozen=True, slots=True)
class Place:
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


@asynccontextmanager
async def made(
    place: Place, databases: Mapping[str, tuple[str, ...]], extra: str, topics: Iterable[str]
) -> AsyncIterator[None]:
    """Databases with their services' tables, and topics; all are removed at the end."""
    names = [place.name(database) for database in databases]
    try:
        await _run(place.database_url, *(f"CREATE DATABASE {name}" for name in names))
        for database, services in databases.items():
            statements = [*(TABLES[service] for service in services), extra]
            await _run(place.url(database), *filter(None, statements))
        await _change_topics(place, topics, make=True)
        yield
    finally:
        await _change_topics(place, topics, make=False)
        drops = (f"DROP DATABASE IF EXISTS {name} WITH (FORCE)" for name in names)
        await _run(place.database_url, *drops)


async def _run(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def _change_topics(place: Place, topics: Iterable[str], *, make: bool) -> None:
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


def servers_of(place: Place) -> dict[str, int]:
    """Process ids of PostgreSQL and Kafka, where they run on this machine."""
    ports = {
        urlsplit(place.database_url).port or 5432: "postgres",
        int(place.kafka.split(",")[0].rpartition(":")[2]): "kafka",
    }
    listening = (c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN)
    return {ports[c.laddr.port]: c.pid for c in listening if c.laddr.port in ports and c.pid}


def cpu_of(processes: Mapping[str, int]) -> dict[str, float]:
    """CPU seconds so far of each process, with its children, also those that have ended."""
    return {name: _cpu(psutil.Process(pid)) for name, pid in processes.items()}


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    ended = times.children_user + times.children_system
    running = 0.0
    for child in process.children():
        try:
            running += _cpu(child)
        except psutil.NoSuchProcess:
            continue  # its seconds are its parent's now
    return times.user + times.system + ended + running
