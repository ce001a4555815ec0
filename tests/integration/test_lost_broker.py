"""The broker's volume is lost under load: what was published is put back, and nothing happens twice."""

import asyncio
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

import httpx
import psycopg
import pytest
from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError

from chassis.kafka import KEEP_FOR_EVER, PARTITIONS, Cluster, ensure_topics
from chassis.kafka import clients as kafka_clients
from chassis.kafka.clients import Log
from payment_svc.service import SERVICE as PAYMENT
from saga_cli.log.reader import read, records
from saga_cli.stack import kafka
from saga_cli.stack.servers import Servers
from saga_cli.stack.services import Services
from saga_cli.topology import BY_NAME, Addresses
from saga_cli.verify import reconcile
from shared_events.catalog import CATALOG
from tests.support.redelivery import all_read, fingerprint
from tests.support.rewriting import as_row, deleted, emptied, number_of, rewritten
from tests.support.saga import Ended, on_servers
from tests.support.servers import log_of, private_stack, start_each
from tests.support.shop import Load, place_many, settled
from tests.support.waiting import until

pytestmark = pytest.mark.long(90)

System = tuple[Services, Servers]
LANES = CATALOG.lanes_of("payment")
FORWARD = "payment.forward"
PUBLISHED_BEFORE = """
UPDATE published SET topic = 'payment.events' WHERE (key, id) IN (
  SELECT DISTINCT ON (key) key, id FROM published ORDER BY key, published_at, id
)
"""


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
    logged = asyncio.run(read(services.addresses.kafka, ["loyalty.forward"]))
    return sum(entry.envelope.type == "points.awarded.v1" for entry in logged)


def counts(ended: Ended) -> dict[str, list[int]]:
    """By service: kept, missing, sent, lost."""
    rows = re.findall(r"(\w+) +│ +(\d+) +│ +(\d+) +│ +(\d+) +│ +(\d+)", ended.out)
    return {service: list(map(int, numbers)) for service, *numbers in rows}


def outcome(services: Services, event: str) -> int:
    """How many lines of the services' logs say so."""
    return sum(log_of(each.process).count(f'"{event}"') for each in services.instances)


def test_what_a_lost_broker_had_acknowledged_is_put_back_and_every_order_settles(
    system: System,
) -> None:
    services, servers = system
    with Load(services.url("order"), cancels=True, at_once=10).running() as load:
        until(lambda: awards(services) >= 20, 90, "the first awards")
        destroy(servers)
        assert asyncio.run(records(services.addresses.kafka)) == []
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
    asyncio.run(all_read(services.addresses.kafka))
    verified = on_servers(services, "verify")
    assert verified.code == 0, verified
    assert all(instance.process.is_alive() for instance in services.instances)
    failed, stood_back = outcome(services, "relay_failed"), outcome(services, "relay_stands_back")
    again = on_servers(services, "republish")
    assert again.code == 0, again
    assert outcome(services, "relay_failed") == failed
    assert outcome(services, "relay_stands_back") > stood_back
    assert [row[1:] for row in counts(again).values()] == [[0, 0, 0]] * len(BY_NAME)


def at_rest(services: Services) -> dict[str, Any]:
    """Orders, some of them cancelled, when all are settled and read; returns the books of all services."""
    orders = asyncio.run(place_many([services.url("order")], 40))
    for order_id in orders[::4]:
        httpx.post(f"{services.url('order')}/orders/{order_id}/cancel")
    assert settled(services, orders).violations == []
    asyncio.run(all_read(services.addresses.kafka))
    return asyncio.run(fingerprint(services.addresses))


def test_a_check_of_the_orders_waits_for_a_broker_that_is_away(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    services, servers = system
    at_rest(services)
    asked: list[Cluster] = []

    def reading(cluster: Cluster, topics: Iterable[str]) -> AbstractAsyncContextManager[Log]:
        asked.append(cluster)
        return kafka_clients.reading(cluster, topics)

    monkeypatch.setattr(reconcile, "reading", reading)
    servers.kafka.kill()
    with pytest.raises(KafkaError):
        settled(services, [], 0)
    with ThreadPoolExecutor(1) as pool:
        report = pool.submit(settled, services, [], 120)
        until(lambda: len(asked) >= 3, 60, "a second look at the log")
        servers.restart(servers.kafka)
        assert report.result().violations == []


async def destroy_in_part(
    addresses: Addresses, is_gone: Callable[[ConsumerRecord[bytes, bytes]], bool]
) -> tuple[int, int]:
    """Payment's lanes without some records.

    Returns how many events are gone, and how many of their keys stand behind them in their lanes.
    """
    before = await records(addresses.kafka, LANES)
    kept = [record for record in before if not is_gone(record)]
    gone = {(record.topic, record.key) for record in before if is_gone(record)}
    await rewritten(addresses, PAYMENT, map(as_row, kept))
    return len(before) - len(kept), sum((r.topic, r.key) in gone for r in kept)


def is_first_of_an_odd_order(record: ConsumerRecord[bytes, bytes]) -> bool:
    return number_of(record) == 1 and bool(record.key[-1] % 2)


def test_the_lost_end_of_one_lane_is_put_back_and_nothing_is_done_twice(system: System) -> None:
    """The later events of some orders stand in the other lanes, which lack nothing."""
    services, _ = system
    addresses = services.addresses
    books = at_rest(services)
    before = asyncio.run(records(addresses.kafka, LANES))
    lane = [record for record in before if record.topic == FORWARD]
    half = {record.partition: record.offset // 2 for record in lane}

    def is_gone(record: ConsumerRecord[bytes, bytes]) -> bool:
        return record.topic == FORWARD and bool(record.offset > half[record.partition])

    left = {event_of(record) for record in before if not is_gone(record)}
    gone = len({event_of(record) for record in before} - left)
    assert gone > 20
    asyncio.run(destroy_in_part(addresses, is_gone))
    assert on_servers(services, "verify", "payment").code == 1
    done = on_servers(services, "republish", "payment")
    assert done.code == 0, done
    assert counts(done)["payment"][1:] == [gone, gone, 0]
    asyncio.run(all_read(addresses.kafka))
    assert on_servers(services, "verify").code == 0
    assert asyncio.run(fingerprint(addresses)) == books
    after = asyncio.run(records(addresses.kafka, LANES))
    assert set(map(event_of, after)) == set(map(event_of, before))


def event_of(record: ConsumerRecord[bytes, bytes]) -> tuple[str, int, bytes]:
    return record.topic, record.partition, dict(record.headers)["ce_id"]


def test_what_is_missing_comes_back_with_all_that_follows_it_and_nothing_is_done_twice(
    system: System,
) -> None:
    services, _ = system
    addresses = services.addresses
    books = at_rest(services)
    gone, waiting = asyncio.run(destroy_in_part(addresses, is_first_of_an_odd_order))
    assert gone > 0 < waiting
    assert on_servers(services, "verify", "payment").code == 1
    done = on_servers(services, "republish", "payment")
    assert done.code == 0, done
    kept, missing, sent, lost = counts(done)["payment"]
    assert (missing, sent, lost) == (gone, gone + waiting, 0)
    assert sent < kept
    asyncio.run(all_read(addresses.kafka))
    assert on_servers(services, "verify").code == 0
    assert asyncio.run(fingerprint(addresses)) == books


def test_a_topic_of_before_that_is_gone_is_put_back_too(system: System) -> None:
    """The first event of each order had been published before the service moved to lanes."""
    services, _ = system
    addresses = services.addresses
    with psycopg.connect(addresses.database_url(BY_NAME["payment"])) as connection:
        moved = connection.execute(PUBLISHED_BEFORE).rowcount
    asyncio.run(destroy_in_part(addresses, is_first))
    done = on_servers(services, "republish", "payment")
    assert done.code == 0, done
    assert counts(done)["payment"][1:] == [moved, moved, 0]
    assert len(asyncio.run(records(addresses.kafka, ["payment.events"]))) == moved
    assert on_servers(services, "verify", "payment").code == 0


def is_first(record: ConsumerRecord[bytes, bytes]) -> bool:
    return number_of(record) == 1


def test_who_starts_without_one_of_its_lanes_is_advised_to_put_it_back(system: System) -> None:
    """Also where the topic of before, which the service has left, is still there."""
    services, _ = system
    addresses, (payment,) = services.addresses, services.of("payment")
    before = {"payment.events": (PARTITIONS, KEEP_FOR_EVER)}
    asyncio.run(ensure_topics(addresses.kafka, before))
    payment.process.stop()
    asyncio.run(deleted(addresses, [FORWARD]))
    payment.process.start()

    def is_advised() -> bool:
        with suppress(httpx.TransportError):
            ready = httpx.get(f"{payment.url}/health/ready").json()
            return (
                f"{FORWARD}: published to and gone; put it back: `saga republish payment`"
                in str(ready)
            )
        return False

    until(is_advised, 60, "what to do")
    assert on_servers(services, "republish", "payment").code == 0
    services.await_ready([payment])
    assert on_servers(services, "verify", "payment").code == 0


def test_what_is_kept_no_more_is_advised(system: System) -> None:
    services, _ = system
    with psycopg.connect(services.addresses.database_url(BY_NAME["payment"])) as connection:
        connection.execute("DELETE FROM published")
    asyncio.run(emptied(services.addresses, PAYMENT))
    done = on_servers(services, "republish", "payment")
    assert done.code == 1, done
    kept, missing, sent, lost = counts(done)["payment"]
    assert (kept, missing, sent) == (0, 0, 0)
    assert lost > 0
    assert f"{lost} events are in no topic and no longer retained" in done.out
