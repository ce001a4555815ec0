"""What becomes of a commit of offsets that fails, beside a rebalance and without one."""

import asyncio
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from chassis.kafka.consumer import ConsumerSession
from tests.chassis.test_consumer import a_reader

PLACE = TopicPartition("payment.events", 0)


class Unsure:
    """A client whose first commits fail, after `meanwhile` has happened."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.commits: list[dict[TopicPartition, int]] = []
        self.sought: dict[TopicPartition, int] = {}
        self.meanwhile: Any = None
        self.result: int | None = None
        self.end = 100

    def assignment(self) -> set[TopicPartition]:
        return {PLACE}

    async def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, self.end)

    async def committed(self, _: TopicPartition) -> int | None:
        return self.result

    def seek(self, place: TopicPartition, offset: int) -> None:
        self.sought[place] = offset

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        if self.failures:
            self.failures -= 1
            if self.meanwhile is not None:
                await self.meanwhile()
            raise KafkaConnectionError
        self.commits.append(offsets)


class Kept:
    """A store that keeps the positions, or leaves them to Kafka."""

    def __init__(self, position: int = 0) -> None:
        self.keeps_positions = position > 0
        self.position = position

    async def reached(self, _: object) -> None: ...

    async def positions(self) -> dict[tuple[str, int], int]:
        return {(PLACE.topic, PLACE.partition): self.position}


def a_session(client: Unsure, store: Kept) -> ConsumerSession:
    session = ConsumerSession(a_reader(store), asyncio.Event())
    session.client = client
    return session


async def test_a_commit_that_failed_is_made_again_with_the_next() -> None:
    client = Unsure(failures=1)
    session = a_session(client, Kept())
    session.done = {PLACE: 7}
    await session.commit()
    assert client.commits == []
    await session.commit()
    assert client.commits == [{PLACE: 7}]


async def test_what_was_done_since_counts_more_than_what_failed() -> None:
    client = Unsure(failures=1)
    session = a_session(client, Kept())

    async def meanwhile() -> None:
        session.done = {PLACE: 9}

    client.meanwhile = meanwhile
    session.done = {PLACE: 7}
    await session.commit()
    await session.commit()
    assert client.commits == [{PLACE: 9}]


async def test_after_a_rebalance_it_is_left_alone() -> None:
    """Another member may have gone further: an old offset would set the group back."""
    client = Unsure(failures=1)
    session = a_session(client, Kept())
    client.meanwhile = lambda: session.seek({PLACE})
    session.done = {PLACE: 7}
    await session.commit()
    await session.commit()
    assert client.commits == []


async def test_kafka_is_told_the_positions_that_a_store_keeps_itself() -> None:
    client = Unsure(failures=0)
    client.result = 6
    session = a_session(client, Kept(position=5))
    await session.seek({PLACE})
    assert client.sought == {PLACE: 5}
    await session.commit()
    assert client.commits == [{PLACE: 5}]


@pytest.mark.parametrize(
    ("result", "end", "start"),
    [(5, 100, 5), (3, 100, 3), (None, 100, 0), (5, 4, 0)],
    ids=["as kept", "told less", "forgotten", "beyond the end"],
)
async def test_a_log_that_was_lost_is_read_from_its_start(
    result: int | None, end: int, start: int
) -> None:
    """A broker without its data knows no offset of ours, or ends before the store's position."""
    client = Unsure(failures=0)
    client.result, client.end = result, end
    await a_session(client, Kept(position=5)).seek({PLACE})
    assert client.sought == {PLACE: start}
