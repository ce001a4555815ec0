"""The broker's volume is lost under load: what was published is put back, and nothing happens twice."""

import asyncio
import re
import shutil
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import psycopg
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from chassis.events import topic_of
from chassis.kafka.clients import ensure_topics
from chassis.kafka.topics import topics_of
from chassis.message import OutboxRow
from chassis.outbox.sender import Sender
from payment_svc.service import SERVICE as PAYMENT
from saga_cli.log.reader import read, records
from saga_cli.republish.leading import leading, opened
from saga_cli.stack import kafka
from saga_cli.stack.servers import Servers
from saga_cli.stack.services import Services
from saga_cli.targets import Targets
from saga_cli.topology import BY_NAME, Addresses
from tests.support.redelivery import all_read, fingerprint
from tests.support.saga import Ended, on_servers
from tests.support.servers import log_of, private_stack, start_each
from tests.support.shop import Load, place_many, settled
from tests.support.waiting import until, until_async

pytestmark = pytest.mark.long(90)

System = tuple[Services, Servers]
TOPIC = topic_of("payment")


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    """A system whose broker its tests may wipe."""
    with private_stack() as (services, servers):
        start_each(services)
        yield services, servers


def destroy(servers: Servers) -> None:
    """SIGKILL, and another empty disk in the place of its own."""
    servers.kafka.kill()
    shutil.rmtree(servers.folder / "kafka")
    kafka.make_data(servers.folder / "kafka.properties", "the-next-cluster-of-all")
    servers.restart(servers.kafka)


def awards(services: Services) -> int:
    logged = asyncio.run(read(services.addresses.kafka_bootstrap, ["loyalty.events"]))
    return sum(entry.envelope.type == "points.awarded.v1" for entry in logged)


def counts(ended: Ended) -> dict[str, list[int]]:
    """By service: kept, missing, sent, lost."""
    rows = re.findall(r"(\w+) +│ +(\d+) +│ +(\d+) +│ +(\d+) +│ +(\d+)", ended.out)
    return {service: list(map(int, numbers)) for service, *numbers in rows}


def outcome(services: Services, event: str) -> int:
    """How many lines of the services' logs say so."""
    return sum(log_of(each.process).count(f'"{event}"') for each in services.instances)


@pytest.mark.timeout(600)
def test_what_a_lost_broker_had_acknowledged_is_put_back_and_every_order_settles(
    system: System,
) -> None:
    services, servers = system
    with Load(services.url("order"), cancels=True, at_once=10).running() as load:
        until(lambda: awards(services) >= 20, 90, "the first awards")
        destroy(servers)
        assert asyncio.run(records(services.addresses.kafka_bootstrap)) == []
        looked = on_servers(services, "republish", "--dry-run")
        assert looked.code == 0, looked
        started = time.monotonic()
        done = on_servers(services, "republish")
        print(f"{looked.out}{done.out}in {time.monotonic() - started:.1f} s")
        load.await_more(20)
    assert done.code == 0, done
    assert set(counts(done)) == set(BY_NAME)
    for kept, missing, sent, lost in counts(done).values():
        assert (missing, sent, lost) == (kept, kept, 0)
        assert kept > 20
    assert settled(services, load.acknowledged, 300).violations == []
    asyncio.run(all_read(services.addresses.kafka_bootstrap))
    verified = on_servers(services, "verify")
    assert verified.code == 0, verified
    assert all(instance.process.is_alive() for instance in services.instances)
    failed, stood_back = outcome(services, "relay_failed"), outcome(services, "relay_stands_back")
    again = on_servers(services, "republish")
    assert again.code == 0, again
    assert outcome(services, "relay_failed") == failed
    assert outcome(services, "relay_stands_back") > stood_back
    assert [row[1:] for row in counts(again).values()] == [[0, 0, 0]] * len(BY_NAME)


async def _lacks(admin: Any, topic: str) -> bool:
    return topic not in await admin.list_topics()


async def remake(addresses: Addresses, topic: str) -> None:
    """Gone, and there again, empty."""
    admin = AIOKafkaAdminClient(bootstrap_servers=addresses.kafka_bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([topic])
        await until_async(partial(_lacks, admin, topic), 30, "the end of the topic")
    finally:
        await admin.close()
    await ensure_topics(addresses.kafka_bootstrap, {topic: topics_of(PAYMENT)[topic]})


async def destroy_in_part(addresses: Addresses) -> tuple[int, int]:
    """Payment's topic holds of the odd orders all but the first event, of the even ones all.

    Returns how many events are gone, and how many stand behind them.
    """
    before = await records(addresses.kafka_bootstrap, [TOPIC])
    first = {key: next(r for r in before if r.key == key) for key in {r.key for r in before}}
    gone = {id(r) for key, r in first.items() if key[-1] % 2}
    places = Targets(addresses.kafka_bootstrap, addresses)
    async with opened(places, PAYMENT) as store, leading(store):
        await remake(addresses, TOPIC)
        sender = Sender(addresses.kafka_bootstrap, "test")
        rows = [(str(n), as_row(r)) for n, r in enumerate(before) if id(r) not in gone]
        acknowledged, error = await sender.publish(rows)
        assert (len(acknowledged), error) == (len(rows), None)
        await sender.drop_producer()
    waiting = sum(r.key in first and bool(r.key[-1] % 2) for r in before) - len(gone)
    return len(gone), waiting


def as_row(record: Any) -> OutboxRow:
    return OutboxRow(record.topic, record.key.decode(), record.value, list(record.headers))


@pytest.mark.timeout(300)
def test_what_is_missing_comes_back_with_all_that_follows_it_and_nothing_is_done_twice(
    system: System,
) -> None:
    services, _ = system
    addresses = services.addresses
    orders = asyncio.run(place_many([services.url("order")], 40))
    for order_id in orders[::4]:
        httpx.post(f"{services.url('order')}/orders/{order_id}/cancel")
    assert settled(services, orders).violations == []
    asyncio.run(all_read(addresses.kafka_bootstrap))
    books = asyncio.run(fingerprint(addresses))
    gone, waiting = asyncio.run(destroy_in_part(addresses))
    assert gone > 0 < waiting
    assert on_servers(services, "verify", "payment").code == 1
    done = on_servers(services, "republish", "payment")
    assert done.code == 0, done
    kept, missing, sent, lost = counts(done)["payment"]
    assert (missing, sent, lost) == (gone, gone + waiting, 0)
    assert sent < kept
    asyncio.run(all_read(addresses.kafka_bootstrap))
    assert on_servers(services, "verify").code == 0
    assert asyncio.run(fingerprint(addresses)) == books


def test_what_is_kept_no_more_is_told(system: System) -> None:
    services, _ = system
    with psycopg.connect(services.addresses.database_url(BY_NAME["payment"])) as connection:
        connection.execute("TRUNCATE published")
    asyncio.run(remake(services.addresses, TOPIC))
    done = on_servers(services, "republish", "payment")
    assert done.code == 1, done
    kept, missing, sent, lost = counts(done)["payment"]
    assert (kept, missing, sent) == (0, 0, 0)
    assert lost > 0
    assert f"{lost} events are in no topic and no longer retained" in done.out
