"""A client whose broker is gone can't say goodbye: what it leaves behind must end all the same."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from chassis.kafka.clients import (
    KEEP_FOR_EVER,
    ensure_topics,
    make_consumer,
    make_producer,
    stop_within,
)
from saga_cli.stack.servers import Servers
from tests.support.servers import private_servers
from tests.support.waiting import patient, until_async


@pytest.fixture
def servers() -> Iterator[Servers]:
    with private_servers() as made:
        yield made


def aiokafkas_tasks() -> set[str]:
    coroutines: list[Any] = [task.get_coro() for task in asyncio.all_tasks() if not task.done()]
    return {c.__qualname__ for c in coroutines if "aiokafka" in c.cr_code.co_filename}


async def test_nothing_of_a_client_that_was_dropped_goes_on(servers: Servers) -> None:
    """Its heartbeats would keep a member in the group that nobody polls, and fill the log."""
    cluster = servers.addresses.kafka
    await ensure_topics(cluster, {"order.forward": (3, KEEP_FOR_EVER)})
    consumer, producer = make_consumer(cluster, "group"), make_producer(cluster, "relay")
    await consumer.start()
    await producer.start()
    consumer.subscribe(["order.forward"])
    async with asyncio.timeout(patient(90)):
        while not consumer.assignment():
            await consumer.getmany(timeout_ms=100)
    await producer.send_and_wait("order.forward", b"1")
    servers.kafka.kill()
    unsent = await producer.send("order.forward", b"2")
    assert "GroupCoordinator._heartbeat_routine" in aiokafkas_tasks()
    await stop_within(consumer, 1)
    await stop_within(producer, 1)
    with pytest.raises(ConnectionError, match="dropped"):
        await unsent
    await until_async(lambda: not aiokafkas_tasks(), 5, "the end of all tasks")
