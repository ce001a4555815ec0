"""R5: brokers that come back elsewhere, members that die: the others go on, and nobody is restarted."""

import asyncio
import gc
import math
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from aiokafka import AIOKafkaProducer

from chassis.kafka import Cluster
from chassis.kafka import clients as kafka
from chassis.kafka.clients import cut_off
from chassis.kafka.consumer import Consumer
from chassis.kafka.membership import SessionTimeout
from chassis.outbox.relay import Relay
from saga_cli.log.reader import records
from saga_cli.stack import ports
from saga_cli.stack.servers import Servers
from shared_events.values import Order
from shipping_svc.service import SERVICE
from tests.integration.chassis_fixtures import Kind, on_postgres
from tests.support.opened import Opened
from tests.support.records import an_order
from tests.support.servers import private_servers
from tests.support.waiting import until_async

pytestmark = pytest.mark.long(60)

TOPICS = (*SERVICE.topics, *SERVICE.own_topics)


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with private_servers() as made:
        yield made
    gc.collect()  # what dead clients leave is collected here, not in the middle of another test


@pytest.fixture
async def kind(servers: Servers) -> Kind:
    topics = dict.fromkeys(TOPICS, (3, kafka.KEEP_FOR_EVER))
    await kafka.ensure_topics(servers.addresses.kafka, topics)
    return on_postgres(servers.addresses)


@dataclass
class Name:
    """A host name, as far as a client can tell: what stands behind it may move."""

    port: int

    async def _forward(self, inside: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        try:
            answers, outside = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            back.close()
            return
        await asyncio.gather(_pipe(inside, outside), _pipe(answers, back))

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Cluster]:
        server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        yield Cluster(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        server.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError as gone:
        print(f"connection ended: {gone}")
    writer.close()


async def pay(cluster: Cluster, kind: Kind, order: Order) -> None:
    record = kind.first(order).record
    assert record is not None
    producer = AIOKafkaProducer(**cluster.options(), acks="all")
    await producer.start()
    headers = list(record.headers)
    await producer.send_and_wait(record.topic, record.value, record.key, headers=headers)
    await producer.stop()


async def moved(servers: Servers) -> Servers:
    """The same broker with its data, on another port that it tells its clients."""
    old, new = servers.addresses.kafka.bootstrap, ports.hold()
    servers.held.callback(new.release)
    config = servers.folder / "kafka.properties"
    config.write_text(config.read_text().replace(f":{old.split(':')[1]}", f":{new.number}"))
    addresses = replace(servers.addresses, kafka=Cluster(f"127.0.0.1:{new.number}"))
    servers.addresses = addresses
    await asyncio.to_thread(servers.restart, servers.kafka)
    return servers


async def test_brokers_that_come_back_on_new_addresses_are_found_again(
    servers: Servers, kind: Kind
) -> None:
    name = Name(int(servers.addresses.kafka.bootstrap.split(":")[1]))
    before, after = an_order(), an_order()
    store = await kind.connect(kind.service)
    stopping, unconsumed = asyncio.Event(), list[str]()
    result = asyncio.get_running_loop().set_exception_handler
    result(lambda _, context: unconsumed.append(f"{context}"))

    async def published(order: Order) -> bool:
        found = await records(servers.addresses.kafka, [*SERVICE.own_topics])
        return order.order_id.encode() in {record.key for record in found}

    async with name.serving() as cluster:
        # longer than the group waits for a member that died, else no client lives to be assigned
        consumer = store.consumer(cluster, stall_s=10)
        relay = Relay(store.core.outbox, cluster, "shipping", send_timeout_s=4)
        running = [asyncio.create_task(part.run(stopping)) for part in (consumer, relay)]
        await pay(servers.addresses.kafka, kind, before)
        await until_async(lambda: published(before), what="the event before")
        servers.kafka.kill()
        await moved(servers)
        name.port = int(servers.addresses.kafka.bootstrap.split(":")[1])
        await pay(servers.addresses.kafka, kind, after)
        await until_async(lambda: published(after), what="the event after")
        stopping.set()
        await asyncio.gather(*running)
    await store.close()
    gc.collect()
    assert [message for message in unconsumed if "never retrieved" in message] == []


async def test_a_session_shorter_than_the_broker_allows_is_made_longer_and_events_are_read(
    servers: Servers, kind: Kind
) -> None:
    """This stack's brokers allow one second (group.min.session.timeout.ms), others six by default."""
    store = await kind.connect(kind.service)
    session = SessionTimeout(0.5)
    stopping, consumer = (
        asyncio.Event(),
        store.consumer(servers.addresses.kafka, session_timeout=session),
    )
    running = asyncio.create_task(consumer.run(stopping))
    await _is_decided(store, servers, kind)
    assert (session.seconds, consumer.rebuilds) == (6.0, 0)
    stopping.set()
    await running
    await store.close()


async def test_a_member_without_partitions_takes_over_when_the_others_die(
    servers: Servers, kind: Kind
) -> None:
    cluster = servers.addresses.kafka
    stores = [await kind.connect(kind.service) for _ in range(4)]
    stopping = asyncio.Event()
    members = [store.consumer(cluster) for store in stores]
    running = {id(m): asyncio.create_task(m.run(stopping)) for m in members}

    def assigned(member: Consumer) -> int:
        return len(member.session.client.assignment()) if member.session else 0

    async def shared() -> bool:
        return sorted(map(assigned, members)) == [0] + [len(SERVICE.topics)] * 3

    await until_async(shared, what="one partition of each topic for three of four")
    (idle,) = (member for member in members if not assigned(member))
    for member in members:
        if member is not idle:
            assert member.session is not None
            await cut_off(member.session.client)  # no goodbye to the group
            running[id(member)].cancel()
    order = an_order()
    await pay(cluster, kind, order)
    own = stores[members.index(idle)]

    async def decided() -> bool:
        return (await own.inspection.whereabouts(order.order_id)).state == "Booking"

    await until_async(decided, what="the idle member's first order")
    assert (assigned(idle), idle.rebuilds) == (3 * len(SERVICE.topics), 0)
    stopping.set()
    await asyncio.gather(*running.values(), return_exceptions=True)
    for store in stores:
        await store.close()


async def test_a_member_that_was_taken_for_dead_reads_on_with_a_longer_session(
    servers: Servers, kind: Kind
) -> None:
    """Its process got no CPU for longer than a session. After calm it joins again with a shorter one."""
    store, session = await kind.connect(kind.service), SessionTimeout(2.0)
    stopping, consumer = (
        asyncio.Event(),
        store.consumer(servers.addresses.kafka, session_timeout=session),
    )
    running = asyncio.create_task(consumer.run(stopping))
    await until_async(consumer.ready.is_set, what="an assignment")
    client = consumer.session and consumer.session.client

    async def is_lost() -> bool:
        time.sleep(3)
        await asyncio.sleep(1)
        return session.seconds > 2

    await until_async(is_lost, what="a loss")
    longer_s, assignments = session.seconds, consumer.session and consumer.session.assignments
    await _is_decided(store, servers, kind)
    assert consumer.session
    consumer.session.membership.rejoin_if_calm(math.inf)
    assert session.seconds == longer_s / 2
    await until_async(lambda: consumer.session and consumer.session.assignments != assignments)
    await _is_decided(store, servers, kind)
    assert (consumer.session.client is client, consumer.rebuilds) == (True, 0)
    stopping.set()
    await running
    await store.close()


async def _is_decided(store: Opened, servers: Servers, kind: Kind) -> None:
    """An order that is placed now."""
    order = an_order()
    await pay(servers.addresses.kafka, kind, order)

    async def decided() -> bool:
        return (await store.inspection.whereabouts(order.order_id)).state == "Booking"

    await until_async(decided, what="an order that is decided on")
