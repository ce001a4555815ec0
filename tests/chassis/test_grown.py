"""A topic that is given more partitions while it is read: a key moves, and nothing of it is parked."""

import asyncio
from types import SimpleNamespace
from typing import Any, Final

import pytest

from chassis.errors import TransientError
from chassis.kafka.consumer import ConsumerSession
from chassis.kafka.partitions import learn_partitions
from chassis.kafka.records import is_astray
from chassis.kafka.topics import PARTITIONS, hash_of, homes_of
from chassis.message import Record, Unreadable
from tests.chassis.test_consumer import OneBatch, Seen, a_reader
from tests.support.records import a_record, an_order, captured

GROWN: Final = PARTITIONS + 3
EVENT: Final = captured(an_order("o-2"))
RECORD: Final = a_record(EVENT)
KEY: Final = RECORD.key or b""
MOVED: Final = hash_of(KEY) % GROWN
ELSEWHERE: Final = next(iter({*range(GROWN)} - homes_of(KEY, GROWN)))


class Growing(OneBatch):
    """A client that knows of the growth only when it asks."""

    def __init__(self, record: Record) -> None:
        super().__init__(record)
        self.known, self.asked = PARTITIONS, 0
        self._client = self

    def partitions_for_topic(self, _: str) -> set[int]:
        return set(range(self.known))

    async def force_metadata_update(self) -> bool:
        self.known, self.asked = GROWN, self.asked + 1
        return True


def read(record: Record) -> tuple[list[Any], Growing]:
    """The bodies that are decided on, and the client."""

    async def turn() -> tuple[list[Any], Growing]:
        store, client = Seen(keeps_positions=False), Growing(record)
        session = ConsumerSession(a_reader(store), asyncio.Event())
        session.client = client
        await session.until_handled([record])
        return [message.body for message in store.messages], client

    return asyncio.run(turn())


def at(partition: int) -> Record:
    return Record(RECORD.topic, partition, 7, RECORD.key, RECORD.value, RECORD.headers)


def test_a_key_may_stand_wherever_any_number_of_partitions_since_the_first_has_put_it() -> None:
    hashed = hash_of(KEY)
    assert homes_of(KEY, PARTITIONS) == {hashed % PARTITIONS}
    assert homes_of(KEY, GROWN) == {hashed % n for n in range(PARTITIONS, GROWN + 1)}
    assert homes_of(KEY, 3) == {hashed % 3}
    for partition in range(GROWN):
        assert is_astray(at(partition), GROWN) == (partition not in homes_of(KEY, GROWN))


def test_an_event_that_moved_before_its_reader_knew_of_it_is_read() -> None:
    """The relay's client learned of the partitions first."""
    assert is_astray(at(MOVED), PARTITIONS)
    bodies, client = read(at(MOVED))
    assert bodies == [EVENT]
    assert client.asked == 1


def test_who_stands_where_no_number_of_partitions_puts_it_is_parked_still() -> None:
    (body,), client = read(at(ELSEWHERE))
    assert isinstance(body, Unreadable)
    assert client.asked == 1


def test_nobody_is_asked_about_an_event_at_its_place() -> None:
    bodies, client = read(at(hash_of(KEY) % PARTITIONS))
    assert (bodies, client.asked) == ([EVENT], 0)


async def test_where_no_broker_answers_the_batch_is_tried_again() -> None:
    async def unanswered() -> bool:
        return False

    client = SimpleNamespace(_client=SimpleNamespace(force_metadata_update=unanswered))
    with pytest.raises(TransientError, match="how many partitions"):
        await learn_partitions(client)
