"""Several brokers, and who has which part in a group, a service or the cluster just now."""

import json
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import Any, Final

import httpx
import uvloop
from aiokafka.admin import NewPartitions
from aiokafka.coordinator.protocol import ConsumerProtocol
from aiokafka.errors import KafkaError

from chassis.kafka import Cluster, admin_client
from saga_cli.log.reader import LANES
from saga_cli.stack import kafka, ports
from saga_cli.stack.servers import Servers
from saga_cli.stack.services import Instance

SMALL: Final = ("-Xms128m", "-Xmx256m", *kafka.QUIET)
LOOK_S: Final = 0.5
REPLICATED_S: Final = 60.0
QUORUM: Final = "__cluster_metadata-0/quorum-state"
PUBLISHED: Final = re.compile(r"^saga_events_published_total\{.*\} (\S+)", re.MULTILINE)
Assigned = Mapping[str, frozenset[int]]
"""Numbers of the partitions that a member of a group has of each topic, by the member's id."""


def brokers(held: ExitStack, count: int) -> list[kafka.KafkaBroker]:
    """Their ports are held until `held` ends; node n is `kafka-n`."""

    def port() -> int:
        taken = ports.hold()
        held.callback(taken.release)
        return taken.number

    numbers = range(1, count + 1)
    return [kafka.KafkaBroker(f"kafka-{n}", port(), port(), java_options=SMALL) for n in numbers]


def controller(servers: Servers) -> str:
    """The broker that leads the metadata's quorum, by the files of its members: no client knows it."""
    files = servers.folder.glob(f"kafka-*/{QUORUM}")
    states = [json.loads(file.read_text("utf-8")) for file in files]
    newest = max(states, key=lambda state: int(state["leaderEpoch"]))
    return f"kafka-{newest['leaderId']}"


def coordinator(cluster: Cluster, group: str) -> str:
    """The broker that a group's members report to."""

    async def asked() -> int:
        async with admin_client(cluster) as admin:
            node: int = await admin.find_coordinator(group)
            return node

    return f"kafka-{uvloop.run(asked())}"


def members(cluster: Cluster, group: str) -> Assigned:
    """Raises KafkaError."""

    async def asked() -> Any:
        async with admin_client(cluster) as admin:
            return await admin.describe_consumer_groups([group])

    (answer,) = uvloop.run(asked())
    (described,) = answer.groups
    found = {}
    for member_id, _, _, _, assigned in described[5]:
        places = ConsumerProtocol.ASSIGNMENT.decode(assigned).partitions() if assigned else []
        found[member_id] = frozenset(place.partition for place in places)
    return found


def await_replicas(cluster: Cluster) -> None:
    """Wait until every copy of every partition is in sync. Raises RuntimeError."""
    until = time.monotonic() + REPLICATED_S
    while not uvloop.run(_is_replicated(cluster)):
        if time.monotonic() > until:
            raise RuntimeError(f"copies still lag after {REPLICATED_S:.0f} s")
        time.sleep(LOOK_S)


async def _is_replicated(cluster: Cluster) -> bool:
    try:
        async with admin_client(cluster, 3) as admin:
            described = await admin.describe_topics(list(LANES))
    except KafkaError:
        return False
    partitions = [p for topic in described for p in topic["partitions"]]
    return all(len(p["isr"]) == len(p["replicas"]) for p in partitions)


def grow(cluster: Cluster, topics: Iterable[str], partitions: int) -> None:
    """More partitions, of these topics alone. Raises KafkaError."""

    async def asked() -> None:
        async with admin_client(cluster) as admin:
            await admin.create_partitions({topic: NewPartitions(partitions) for topic in topics})

    uvloop.run(asked())


def leading(instances: list[Instance]) -> Instance:
    """Whose relay publishes: the one that has published more since a moment ago."""
    before = [_published(instance) for instance in instances]
    time.sleep(LOOK_S)
    more = [_published(each) - was for each, was in zip(instances, before, strict=True)]
    return instances[more.index(max(more))]


def _published(instance: Instance) -> float:
    found = PUBLISHED.findall(httpx.get(f"{instance.url}/metrics", timeout=5).text)
    return sum(map(float, found))
