"""What a consumer's client has to learn of its partitions: where to begin, and how many there are."""

import asyncio
from typing import Any, Final

from aiokafka import TopicPartition

from chassis.errors import TransientError
from chassis.store import Positions

ASK_S: Final = 5.0


async def starts_of(
    store: Positions, client: Any, places: list[TopicPartition]
) -> dict[TopicPartition, int]:
    """By the positions in the store.

    A broker that lost its data has forgotten what was committed, or ends before: begin anew.
    """
    positions = await store.positions()
    kept = {p: positions.get((p.topic, p.partition), 0) for p in places}
    ends = await client.end_offsets([p for p in places if kept[p]])
    acknowledged = {p: await client.committed(p) or 0 for p in ends}
    earlier = {p: min(kept[p], acknowledged[p]) for p in ends}
    return kept | {p: at if at <= ends[p] else 0 for p, at in earlier.items()}


async def learn_partitions(client: Any) -> None:
    """Ask how many partitions topics have; a client does so by itself each ten seconds.

    Raises TransientError where no broker answers.
    """
    try:
        async with asyncio.timeout(ASK_S):
            answered = await client._client.force_metadata_update()  # noqa: SLF001 - no public way
    except TimeoutError as error:
        raise TransientError("no broker says how many partitions its topics have") from error
    if not answered:
        raise TransientError("no broker says how many partitions its topics have")
