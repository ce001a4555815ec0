"""Topics and rights of a cluster: looked at, and brought to what the services declare."""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from chassis import clock
from chassis.kafka import Cluster, admin_client, make_topics
from saga_cli.access import broker
from saga_cli.access.plan import AccessPlan, FoundCluster, FoundTopic, plan
from saga_cli.access.rights import rights
from saga_cli.access.rights import topics as declared_topics

KNOWN_S: Final = 30
OWN: Final = 1
"""The source of a setting's value that is the topic's own."""


async def look(admin: AIOKafkaAdminClient, topics: Collection[str]) -> FoundCluster:
    """Raises KafkaError."""
    there = sorted({*topics}.intersection(await admin.list_topics()))
    described = await admin.describe_topics(there) if there else []  # of none: of all
    settings = await _settings(admin, there)
    found = {
        topic["topic"]: FoundTopic(
            len(topic["partitions"]),
            min(len(partition["replicas"]) for partition in topic["partitions"]),
            settings[topic["topic"]],
        )
        for topic in described
    }
    brokers = len((await admin.describe_cluster())["brokers"])
    return FoundCluster(brokers, found, await broker.acls_of(admin))


async def _settings(
    admin: AIOKafkaAdminClient, topics: Iterable[str]
) -> Mapping[str, Mapping[str, str]]:
    wanted = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
    answers: list[Any] = await admin.describe_configs(wanted) if wanted else []
    return {
        topic: {entry[0]: entry[1] for entry in entries if entry[3] == OWN}
        for answer in answers
        for *_, topic, entries in answer.resources
    }


async def apply(admin: AIOKafkaAdminClient, made: AccessPlan) -> None:
    """Rights are given before others are taken back. Raises KafkaError."""
    await make_topics(admin, made.make, made.copies)
    if made.grow:
        await admin.create_partitions({topic: NewPartitions(n) for topic, n in made.grow.items()})
    if made.settings:
        await broker.change(admin, made.settings)
    if made.give:
        await broker.give(admin, made.give)
    if made.take:
        await broker.take(admin, made.take)


async def brought(
    cluster: Cluster,
    partitions: int | None = None,
    copies: int | None = None,
    *,
    is_check: bool = False,
    is_moving: bool = False,
) -> AccessPlan:
    """What was changed, or of a check what would be.

    Brokers learn of a change a moment after it was accepted, so it is looked for until it shows.
    Raises KafkaError, and TimeoutError where that takes too long.
    """
    topics, declared = declared_topics(moving=is_moving), rights(moving=is_moving)
    async with admin_client(cluster) as admin:

        async def lacking() -> AccessPlan:
            return plan(await look(admin, topics), topics, declared, partitions, copies)

        made = await lacking()
        if not is_check and made.changes:
            await apply(admin, made)
            async with asyncio.timeout(KNOWN_S):
                while (await lacking()).changes:
                    await clock.wait(0.1)
    return made
