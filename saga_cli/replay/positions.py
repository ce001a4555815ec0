"""Where a rebuilt service goes on: its group's offsets in Kafka.

Every message that led to an event is in the rebuilt inbox, and one that led to nothing leads to
nothing again; so the group reads its neighbours' topics from their start, and decides only on what
was never answered. A topic that was folded into a table is read on from where the fold ended.
"""

from collections.abc import Mapping
from typing import Final

from chassis.kafka import Cluster, admin_client, reading
from chassis.service import Service
from saga_cli.log.kafka import consuming
from saga_cli.log.source import LogPartition
from saga_cli.replay.job import ReplayError

IDLE: Final = ("Empty", "Dead")


async def refuse_members(cluster: Cluster, group: str) -> None:
    """Raises ReplayError while processes of the service are in its group."""
    async with admin_client(cluster) as admin:
        described = await admin.describe_consumer_groups([group])
    states = {found[2] for response in described for found in response.groups}
    if busy := states - set(IDLE):
        raise ReplayError(
            f"{group} runs (its group is {busy.pop()}): stop all its processes first; "
            "one that was killed leaves its group after 6 s"
        )


async def rewind(cluster: Cluster, service: Service, folded: Mapping[LogPartition, int]) -> int:
    """To the first offsets there are, but for the folded ones; returns how many partitions."""
    async with reading(cluster, service.topics) as log:
        offsets = {p: folded.get(LogPartition(*p), start) for p, start in log.starts.items()}
    async with consuming(cluster, service.name) as client:
        client.assign([*offsets])
        if offsets:
            await client.commit(offsets)
    return len(offsets)
