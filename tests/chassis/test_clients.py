"""The Kafka clients are used as aiokafka really behaves: options, and what the code must never do."""

import ast
import asyncio
import gc
from collections import deque
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.producer.message_accumulator import MessageBatch

from chassis.kafka import Cluster, consumer
from chassis.kafka import clients as kafka
from tests.chassis.test_consumer import OneBatch, Seen, a_reader
from tests.support.records import a_record, captured
from tests.support.syntax import calls_of, tree_of
from tests.support.waiting import until_async

PRODUCT = [
    path
    for folder in ("chassis", *(f"{s}_svc" for s in ("order", "inventory", "payment")))
    for path in Path(folder).rglob("*.py")
] + [path for s in ("shipping", "loyalty") for path in Path(f"{s}_svc").rglob("*.py")]


def _calls(name: str) -> list[tuple[Path, ast.Call]]:
    return [(path, call) for path in PRODUCT for call in calls_of(tree_of(path), name)]


def test_a_consumer_skips_nothing() -> None:
    async def made() -> Any:
        return kafka.make_consumer(Cluster("127.0.0.1:1"), "group")

    client = asyncio.run(made())
    assert client._enable_auto_commit is False
    assert client._auto_offset_reset == "earliest"
    assert client._key_deserializer is client._value_deserializer is None
    assert len(client._partition_assignment_strategy) == 1
    assert client._group_instance_id is None


def test_clients_are_made_in_one_place() -> None:
    for name in ("AIOKafkaConsumer", "AIOKafkaProducer"):
        assert [path for path, _ in _calls(name)] == [Path("chassis/kafka/clients.py")]
    (_, producer) = _calls("AIOKafkaProducer")[0]
    options = {keyword.arg: ast.unparse(keyword.value) for keyword in producer.keywords}
    assert options["enable_idempotence"] == "True"
    assert options["acks"] == "'all'"
    assert "transactional_id" not in options


def test_getmany_is_never_cancelled() -> None:
    """A record handed out to a cancelled call is lost: no timeout and no wait_for around it."""
    for node in ast.walk(tree_of(Path("chassis/kafka/consumer.py"))):
        guarded = isinstance(node, ast.AsyncWith) and "timeout" in ast.unparse(node.items[0])
        waited = isinstance(node, ast.Call) and ast.unparse(node.func).endswith("wait_for")
        if guarded or waited:
            assert "getmany" not in ast.unparse(node)
    assert "getmany" in ast.unparse(tree_of(Path("chassis/kafka/consumer.py")))


class FailingClient(OneBatch):
    """A client whose fetch raises, as on a bad checksum: it may have dropped other records."""

    async def getmany(self, **_: Any) -> Any:
        raise RuntimeError("CRC check failed")


def test_a_client_that_raises_is_thrown_away_and_the_records_are_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    event = captured()
    record = a_record(event)
    made: list[OneBatch] = []

    def make(*_: Any) -> OneBatch:
        made.append(FailingClient(record) if not made else OneBatch(record))
        return made[-1]

    async def run() -> Seen:
        store = Seen(keeps_positions=False)
        reader = a_reader(store)
        stopping = asyncio.Event()
        running = asyncio.create_task(reader.run(stopping))
        await until_async(lambda: store.messages, 10, "a message")
        stopping.set()
        await running
        assert reader.rebuilds == 1
        return store

    monkeypatch.setattr(consumer, "make_consumer", make)
    store = asyncio.run(run())
    assert store.messages[0].body == event
    assert [client.stopped for client in made] == [True, True]


async def test_a_batch_that_never_left_is_failed_without_a_complaint() -> None:
    """Nobody waits for it to be drained: an exception that is kept there is nobody's to retrieve."""
    unretrieved: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, how: unretrieved.append(f"{how}"))
    producer = kafka.make_producer(Cluster("127.0.0.1:1"), "relay")
    accumulator = producer._message_accumulator
    place = TopicPartition("order.events", 0)
    batch = MessageBatch(place, producer.create_batch(), 60, 0)
    accumulator._batches[place] = deque([batch])
    kafka.fail_batches(accumulator)
    assert isinstance(batch.future.exception(), ConnectionError)
    accumulator._batches.clear()
    del batch
    gc.collect()
    assert unretrieved == []
