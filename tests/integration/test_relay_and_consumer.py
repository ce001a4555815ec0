"""The relay and the consumer against a real broker that is paused, killed and fed with rubbish."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from chassis.kafka import Cluster
from chassis.kafka import clients as kafka
from chassis.kafka.records import is_astray
from chassis.message import Record
from chassis.outbox.relay import Relay
from saga_cli.log.reader import LogEvent, read
from saga_cli.stack.servers import Servers
from saga_cli.topology import BY_NAME
from shared_events.catalog import DELIVERY_DETAILS
from shared_events.order import DeliveryDetailsGiven
from shipping_svc.service import SERVICE
from shipping_svc.store import DELIVERY_DETAILS as DETAILS_TABLE
from tests.integration.chassis_fixtures import Kind, on_postgres
from tests.integration.kafka_fixtures import a_producer, started
from tests.support.batches import batch, produce
from tests.support.batches import record as a_raw_record
from tests.support.opened import Opened
from tests.support.records import a_record, an_order
from tests.support.servers import private_servers
from tests.support.waiting import until_async

TOPICS = (*SERVICE.topics, *SERVICE.own_topics)


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with private_servers() as made:
        yield made


@pytest.fixture
async def kind(servers: Servers) -> Kind:
    cluster = servers.addresses.kafka
    names = (*TOPICS, "shipping.dead-letters")
    await kafka.ensure_topics(cluster, {name: (3, {}) for name in names})
    return on_postgres(servers.addresses)


@pytest.fixture
async def store(kind: Kind) -> AsyncIterator[Opened]:
    """Closed also where a test fails: it may lead, and the next could not."""
    opened = await kind.connect(kind.service)
    yield opened
    await opened.close()


async def _published(servers: Servers, *keys: str) -> list[LogEvent]:
    logged = await read(servers.addresses.kafka, [*SERVICE.own_topics])
    return [entry for entry in logged if entry.envelope.subject in keys]


async def test_a_low_id_that_commits_late_is_still_published(
    servers: Servers, kind: Kind, store: Opened
) -> None:
    """Sequence values are visible out of order: a relay that reads `id > last` would skip it."""
    import asyncpg  # noqa: PLC0415

    relay = Relay(store.core.outbox, servers.addresses.kafka, "shipping")
    assert await store.lead()
    slow, quick = an_order(), an_order()
    held = await asyncpg.connect(servers.addresses.database_url(BY_NAME["shipping"]))
    transaction = held.transaction()
    await transaction.start()
    await held.execute(
        "INSERT INTO outbox (shard, topic, key, value, headers)"
        " VALUES (0, 'shipping.dead-letters', $1, 'x', '[]')",
        slow.order_id,
    )
    await store.handle([kind.first(quick)])
    assert await relay.relay_once() == 1
    await transaction.commit()
    # the outbox itself is read at least every `LOOK_S`
    assert await until_async(relay.relay_once, 30, "the row with the low id") == 1
    await relay.acknowledge()
    assert await store.pending(10) == []
    assert len(await _published(servers, quick.order_id)) == 1
    await held.close()


async def test_a_producer_that_failed_is_replaced_and_the_order_is_kept(
    servers: Servers, kind: Kind, store: Opened
) -> None:
    relay = Relay(store.core.outbox, servers.addresses.kafka, "shipping", send_timeout_s=2)
    stopping = asyncio.Event()
    running = asyncio.create_task(relay.run(stopping))
    before = [an_order() for _ in range(20)]
    await store.handle([kind.first(order) for order in before])
    await _drained(store)
    first_producer = relay.sender.producer
    servers.kafka.suspend()
    during = [an_order() for _ in range(20)]
    await store.handle([kind.first(order) for order in during])
    relay.wake.set()
    await until_async(lambda: relay.sender.producer is not first_producer, 30, "a new producer")
    servers.kafka.resume()
    await _drained(store)
    stopping.set()
    await running
    orders = [order.order_id for order in (*before, *during)]
    published = await _published(servers, *orders)
    assert {entry.envelope.subject for entry in published} == set(orders)


async def test_rubbish_in_one_partition_loses_nothing_of_the_others(
    servers: Servers, kind: Kind, store: Opened
) -> None:
    cluster = servers.addresses.kafka
    good = [an_order() for _ in range(30)]
    records = [record for order in good if (record := kind.first(order).record) is not None]
    rubbish = an_order().order_id
    producer = AIOKafkaProducer(**cluster.options(), acks="all")
    await producer.start()
    for number, record in enumerate(records):
        await _send(producer, record, number % 2)
    await producer.send_and_wait("payment.forward", b"\x80", rubbish.encode(), partition=2)
    await producer.send_and_wait("payment.forward", b"no key", None, partition=2)
    await producer.stop()
    consumer = store.consumer(cluster)
    stopping = asyncio.Event()
    running = asyncio.create_task(consumer.run(stopping))
    keys = {order.order_id for order in good}
    await _pending(store, keys)
    assert {rubbish, ""} <= set(await store.inspection.parked_keys())
    stopping.set()
    await running
    assert consumer.rebuilds == 0


async def test_a_consumer_that_hangs_is_thrown_away_and_goes_on(
    servers: Servers, kind: Kind, store: Opened
) -> None:
    """The broker stops answering for longer than the watchdog's patience; nobody restarts us."""
    cluster = servers.addresses.kafka
    # as long as a member that died is waited for, and more
    consumer = store.consumer(cluster, stall_s=10)
    stopping = asyncio.Event()
    running = asyncio.create_task(consumer.run(stopping))
    await asyncio.wait_for(consumer.ready.wait(), 30)
    servers.kafka.suspend()
    await until_async(lambda: consumer.rebuilds, 60, "a new client")
    servers.kafka.resume()
    order = an_order()
    record = kind.first(order).record
    assert record is not None
    producer = AIOKafkaProducer(**cluster.options(), acks="all")
    await producer.start()
    await _send(producer, record, 0)
    await producer.stop()
    await _pending(store, {order.order_id})
    stopping.set()
    await running


async def _send(producer: AIOKafkaProducer, record: Record, partition: int) -> None:
    await producer.send_and_wait(
        record.topic, record.value, record.key, partition, headers=list(record.headers)
    )


async def _pending(store: Opened, keys: set[str]) -> None:
    """Wait until the outbox has a row of each key."""

    async def are_there() -> bool:
        return keys <= {row.key for _, row in await store.pending(1000)}

    await until_async(store.lead, 60, "the lead")
    await until_async(are_there, 60, "a row of each order")


async def _drained(store: Opened) -> None:
    async def is_empty() -> bool:
        return not (await store.backlog()).outbox_rows

    await until_async(is_empty, 60, "an empty outbox")


async def test_hostile_records_of_every_kind_hold_up_nothing(
    servers: Servers, kind: Kind, store: Opened
) -> None:
    """A header name that is no text, details that are none, and a record that a person steps over."""
    cluster, order = servers.addresses.kafka, an_order()
    first, skipped, last = (_at_home(kind, 2) for _ in range(3))
    names = [(name.encode(), raw) for name, raw in first.headers]
    raw = a_raw_record(0, first.value, first.key, [*names, (b"\xff\xfe", b"x")])
    (end,) = await _ends(cluster, "payment.forward", 2)
    (details_end,) = await _ends(cluster, DELIVERY_DETAILS, 0)
    await produce(cluster, "payment.forward", 2, batch(raw, 1))
    text = {"name": "Jane", "street": "s", "city": "c", "email": "e@example.org"}
    details = a_record(DeliveryDetailsGiven(order_id=order.order_id, **text))
    while is_astray(replace(details, partition=0), 3):
        order = an_order()
        details = a_record(DeliveryDetailsGiven(order_id=order.order_id, **text))
    async with started(a_producer(cluster)) as producer:
        for bad in (replace(first, topic=DELIVERY_DETAILS), replace(details, value=b"Jane")):
            await _send(producer, bad, 0)
        for good, partition in ((details, 0), (skipped, 2), (last, 2)):
            await _send(producer, good, partition)
    operations = store.inspection
    await operations.skip("payment.forward", 2, end + 1, "eve", "to be tested")
    consumer = store.consumer(cluster)
    stopping = asyncio.Event()
    running = asyncio.create_task(consumer.run(stopping))
    parked = {f"{DELIVERY_DETAILS}:0:{details_end + n}" for n in range(2)} | {skipped.subject}

    async def are_parked() -> bool:
        return parked <= set(await operations.parked_keys())

    await until_async(are_parked, 30, "each parked")
    states = [(await operations.whereabouts(x.subject)).state for x in (first, skipped, last)]
    assert states == ["Booking", "Absent", "Booking"]
    async with store.reading() as connection:
        query = "SELECT name FROM delivery_details WHERE order_id = $1"
        assert await connection.fetchval(query, order.order_id) == "Jane"
        quoted = "SELECT count(*) FROM outbox WHERE position('Jane'::bytea IN value) > 0"
        assert await connection.fetchval(quoted) == 0
    stopping.set()
    await running
    assert consumer.rebuilds == 0


async def test_details_that_are_on_their_way_are_waited_for_and_erased_ones_are_empty(
    store: Opened,
) -> None:
    order, look_up = an_order(), store.looking_up(DETAILS_TABLE)
    details = {"name": "", "street": "", "city": "", "email": "", "postal_code": "10115"}
    of_another = a_record(DeliveryDetailsGiven(order_id=an_order().order_id, **details))
    given = a_record(DeliveryDetailsGiven(order_id=order.order_id, **details))
    asked = asyncio.create_task(look_up(order.order_id))
    await store.project([of_another])
    await store.project([given])
    found = await asked
    assert (found["postal_code"], found["name"]) == ("10115", "")
    await store.project([replace(given, value=None)])
    erased = await look_up(order.order_id)
    assert set(erased) == set(DETAILS_TABLE.columns)
    assert not any(erased.values())
    assert await look_up(an_order().order_id) is None


def _at_home(kind: Kind, partition: int) -> Record:
    """An order's first event, which belongs in a partition of three."""
    while True:
        found = kind.first(an_order()).record
        assert found
        if not is_astray(replace(found, partition=partition), 3):
            return found


async def _ends(cluster: Cluster, topic: str, partition: int) -> list[int]:
    async with kafka.reading(cluster, [topic]) as log:
        ends = await log.client.end_offsets([TopicPartition(topic, partition)])
    return list(ends.values())
