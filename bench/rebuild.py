"""How fast a service's store is rebuilt: `python -m bench.rebuild --orders 300000 payment`.

A simulated shop makes some thousand orders of every kind; their events, each time under new ids, make
the topics as long as asked for. Then `saga replay` fills a new database on real servers, fsync on.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID, uuid5

from chassis.kafka import KEEP_FOR_EVER, PARTITIONS, Cluster, ensure_topics, make_producer
from chassis.secret import overridden
from saga_cli import clients
from saga_cli.stack import servers
from saga_cli.topology import BY_NAME, SERVICES, Addresses
from shared_events.catalog import CATALOG
from shared_events.inventory import StockReceived
from simulation import machine
from simulation.plan import Plan
from simulation.shop import SCARCE, SKUS
from simulation.system import simulated
from simulation.verdict import records
from tests.support.records import a_record

TEMPLATES: Final = tuple(Plan(seed, 250, {}, arrive_s=2.0) for seed in range(1, 5))
ORDER_ID: Final = 36  # characters
CLONES: Final = UUID("0d7f1b5e-5a0e-4e0b-9f0a-3d6d2a9c1f44")


@dataclass(frozen=True, slots=True)
class Template:
    """One order's events as a service published them, in their order."""

    key: bytes
    events: tuple[tuple[str, bytes, dict[str, bytes]], ...]
    """Topic, value and headers of each."""

    def cloned(self, number: int) -> Iterator[tuple[str, bytes, bytes, list[tuple[str, bytes]]]]:
        """The same story of another order: new ids, the same causes among themselves."""
        key = str(uuid5(CLONES, f"{number}:{self.key.decode()}")).encode()
        for topic, value, headers in self.events:
            renamed = {name: data.replace(self.key, key) for name, data in headers.items()}
            for name in ("ce_id", "ce_causationid"):
                renamed[name] = str(uuid5(CLONES, f"{number}:{headers[name].decode()}")).encode()
            yield topic, key, value.replace(self.key, key), list(renamed.items())


def templates_of(names: Iterable[str]) -> dict[str, list[Template]]:
    found: dict[str, list[Template]] = {name: [] for name in names}
    for plan in TEMPLATES:
        with simulated(plan) as system:
            machine.silence(system.bugs)
            system.run()
            for name, made in found.items():
                stories: dict[bytes, list[Any]] = {}
                for record in (r for t in CATALOG.log_of(name) for r in records(system, t)):
                    if len(record.key) == ORDER_ID:
                        stories.setdefault(record.key, []).append(record)
                made += [Template(key, _in_order(story)) for key, story in stories.items()]
    return found


async def fill(cluster: Cluster, name: str, templates: list[Template], orders: int) -> int:
    """Write so many orders' events into a service's topics; returns how many events."""
    topics = CATALOG.lanes_of(name)
    await ensure_topics(cluster, dict.fromkeys(topics, (PARTITIONS, KEEP_FOR_EVER)))
    async with make_producer(cluster, "bench") as producer:
        skus = (*SKUS, SCARCE) if name == "inventory" else ()
        for sku in skus:  # pieces enough for whatever the orders reserve
            received = a_record(StockReceived(sku=sku, quantity=10**9))
            headers = list(received.headers)
            await producer.send_and_wait(
                received.topic, received.value, received.key, headers=headers
            )
        await asyncio.gather(
            *(_fill(producer, part, templates, orders) for part in range(PARTITIONS))
        )
    return sum(len(templates[n % len(templates)].events) for n in range(orders))


def _in_order(story: Iterable[Any]) -> tuple[tuple[str, bytes, dict[str, bytes]], ...]:
    records = ((r.topic, r.value, dict(r.headers)) for r in story)
    return tuple(sorted(records, key=lambda record: record[2]["ce_sequence"]))


async def _fill(producer: Any, partition: int, templates: list[Template], orders: int) -> None:
    batches: dict[str, Any] = {}

    async def send(topic: str) -> None:
        batch = batches.pop(topic)
        batch.close()
        await (await producer.send_batch(batch, topic, partition=partition))

    for number in range(partition, orders, PARTITIONS):
        for topic, key, value, headers in templates[number % len(templates)].cloned(number):
            event = {"key": key, "value": value, "timestamp": None, "headers": headers}
            while True:
                if topic not in batches:
                    batches[topic] = producer.create_batch()
                if batches[topic].append(**event) is not None:
                    break
                await send(topic)
    for topic in [*batches]:
        await send(topic)


async def _new_database(addresses: Addresses, name: str, number: int) -> str:
    database = f"{name}_{number}"
    async with clients.database(addresses.postgres_url) as admin:
        await admin.execute(f"CREATE DATABASE {database}")
    return urlsplit(addresses.postgres_url)._replace(path=f"/{database}").geturl()


def rebuild(addresses: Addresses, name: str, jobs: int) -> dict[str, Any]:
    spec = BY_NAME[name]
    into = (
        asyncio.run(_new_database(addresses, name, jobs))
        if spec.has_database
        else f"{addresses.redis_url}/{jobs}"
    )
    command = [sys.executable, "-m", "saga_cli.main", "replay", name, "--into", into]
    command += ["--copy", "--jobs", str(jobs), "--json"]
    env = overridden(os.environ, addresses.variables)
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, check=True)  # noqa: S603 - no shell: this `saga`
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("services", nargs="*", metavar="SERVICE", help="all without one")
    parser.add_argument("--orders", type=int, default=100_000, help="in each topic")
    parser.add_argument("--jobs", default="1,2", help="numbers of processes to compare")
    options = parser.parse_args()
    names = options.services or [spec.name for spec in SERVICES]
    if unknown := set(names) - set(BY_NAME):
        parser.error(f"there is no service {unknown.pop()!r}")
    templates = templates_of(names)
    stack = servers.start()
    try:
        for name in names:
            started = time.monotonic()
            written = asyncio.run(
                fill(stack.addresses.kafka, name, templates[name], options.orders)
            )
            took = time.monotonic() - started
            print(f"{name}: {written:,} events written in {took:.0f} s", flush=True)
            for jobs in map(int, options.jobs.split(",")):
                done = rebuild(stack.addresses, name, jobs)
                rate = done["events"] / done["seconds"]
                figures = (
                    f"{done['events']:,} events, {done['orders']:,} orders, {done['seconds']:.1f} s"
                )
                print(f"  {jobs} process(es): {figures}, {rate:,.0f} events/s", flush=True)
    finally:
        stack.stop()


if __name__ == "__main__":
    main()
