"""What a service says of itself while a server is away, full or read-only, and that it goes on by itself."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import psutil
import psycopg
import pytest
from redis import Redis

from chassis.kafka import Cluster
from chassis.kafka.clients import ensure_topics, make_producer
from chassis.kafka.topics import topics_of
from payment_svc.service import SERVICE as PAYMENT
from saga_cli.demo import a_checkout
from saga_cli.stack.overview import NO, readiness
from saga_cli.stack.seed import seed, set_standing
from saga_cli.stack.servers import Servers
from saga_cli.stack.services import Services
from saga_cli.stack.state import Running
from saga_cli.topology import BY_NAME
from shared_events.loyalty import PointsAwarded
from shipping_svc.service import SERVICE as SHIPPING
from tests.support.metrics import sample
from tests.support.records import a_record, an_order
from tests.support.servers import fast_paths, log_of, private_stack
from tests.support.waiting import until

pytestmark = pytest.mark.long(60)


@dataclass(frozen=True)
class Half:
    """Order, inventory and loyalty; payment and shipping have their topics, and no process."""

    services: Services
    servers: Servers

    def url(self, name: str) -> str:
        return self.services.url(name)

    def checkout(self) -> httpx.Response:
        return httpx.post(f"{self.url('order')}/checkout", json=a_checkout(), timeout=40)

    def readiness(self, name: str) -> tuple[int, set[str]]:
        """The status, and the reasons."""
        answer = httpx.get(f"{self.url(name)}/health/ready", timeout=10)
        return answer.status_code, {reason["reason"] for reason in answer.json()["reasons"]}

    def shown(self, name: str) -> str:
        """What `saga status` says of it."""
        (instance,) = self.services.of(name)
        pid = instance.process.pid
        return readiness(Running(name, pid, psutil.Process(pid).create_time(), instance.url))

    def is_well(self, *names: str) -> bool:
        return all(self.readiness(name) == (200, set()) for name in names or RUNNING)

    def gauge(self, name: str, metric: str, **labels: str) -> float | None:
        (instance,) = self.services.of(name)
        return sample(instance, metric, **labels)

    def logged(self, name: str) -> list[dict[str, Any]]:
        (instance,) = self.services.of(name)
        return [json.loads(line) for line in log_of(instance.process).splitlines()]

    def redis(self, database: int = 0) -> Redis:
        return Redis.from_url(f"{self.servers.addresses.redis_url}/{database}")

    def configure(self, command: str) -> None:
        """ALTER SYSTEM, which goes for sessions that are open too."""
        url = self.servers.addresses.postgres_url
        options = "-c default_transaction_read_only=off"
        with psycopg.connect(url, autocommit=True, options=options) as connection:
            connection.execute(command.encode())
            connection.execute("SELECT pg_reload_conf()")


RUNNING = ("order", "inventory", "loyalty")
LINES_MAX = 100


@pytest.fixture(scope="module")
def half() -> Iterator[Half]:
    with private_stack() as (services, servers):
        for name in RUNNING:
            services.start(name, fast_paths(name, "none" if name == "order" else "all"))
        for service in (PAYMENT, SHIPPING):
            asyncio.run(ensure_topics(servers.addresses.kafka, topics_of(service)))
        services.await_ready(services.instances)
        seed(services.url)
        yield Half(services, servers)


@pytest.fixture(autouse=True)
def _well(half: Half) -> None:
    until(half.is_well, 60, "all well before the test")


def test_without_kafka_a_service_is_ready_and_says_that_it_is_degraded(half: Half) -> None:
    """What it decides is kept until Kafka is back; its log says so in tens of lines, not thousands."""
    before = {name: len(half.logged(name)) for name in RUNNING}
    half.servers.kafka.kill()
    until(lambda: "kafka_away" in half.readiness("order")[1], 60, "Kafka is missed")
    assert half.checkout().status_code == 201
    until(lambda: {"kafka_away", "relay_failing"} <= half.readiness("order")[1], 60, "both")
    for name in RUNNING:
        until(partial(_answers, half, name, "kafka_away"), 60, name)
        assert half.readiness(name)[0] == 200
    assert "degraded[/] " in half.shown("order")
    assert "kafka_away" in half.shown("order")
    assert half.gauge("order", "saga_degraded", reason="kafka_away") == 1
    assert half.gauge("order", "saga_ready") == 1
    lag = half.gauge("order", "saga_consumer_lag_records")
    assert lag != lag, "a lag that nobody can know"  # noqa: PLR0124 - NaN
    half.servers.restart(half.servers.kafka)
    until(half.is_well, 90, "all well again")
    for name in RUNNING:
        result = half.logged(name)[before[name] :]
        assert len(result) < LINES_MAX, result
        assert sum(line.get("repeated", 0) for line in result) > 0
    until(lambda: half.gauge("order", "saga_degraded", reason="kafka_away") == 0, 20)
    until(lambda: half.gauge("order", "saga_outbox_rows") == 0, 30)


def test_records_that_wait_are_in_the_lag_while_the_database_holds_them_up(half: Half) -> None:
    cluster = half.servers.addresses.kafka
    with psycopg.connect(half.servers.addresses.database_url(BY_NAME["order"])) as connection:
        connection.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        asyncio.run(_send(cluster, 700))
        until(lambda: half.gauge("order", "saga_consumer_lag_records") == 700, 30, "a lag of 700")
    until(lambda: half.gauge("order", "saga_consumer_lag_records") == 0, 30, "no lag")


def _answers(half: Half, name: str, reason: str) -> bool:
    return reason in half.readiness(name)[1]


async def _send(cluster: Cluster, count: int) -> None:
    """Awards of orders that nobody placed: the rules know what to do with them."""
    producer = make_producer(cluster, "test")
    await producer.start()
    try:
        for _ in range(count):
            order = an_order()
            record = a_record(
                PointsAwarded(order_id=order.order_id, customer_id=order.customer_id, points=1)
            )
            await producer.send(
                record.topic, record.value, key=record.key, headers=list(record.headers)
            )
        await producer.flush()
    finally:
        await producer.stop()


def test_a_full_redis_blocks_loyalty_and_leaves_inventory_degraded(half: Half) -> None:
    with half.redis() as redis:
        redis.config_set("maxmemory", 1)
        until(lambda: half.readiness("loyalty")[0] == 503, 30, "loyalty can keep nothing")
        assert "store_away" in half.readiness("loyalty")[1]
        until(lambda: "cache_away" in half.readiness("inventory")[1], 30, "the cache is missed")
        assert half.readiness("inventory")[0] == 200
        assert half.readiness("order") == (200, set())
        assert half.gauge("loyalty", "saga_ready") == 0
        redis.config_set("maxmemory", 0)
    until(half.is_well, 30, "all well again")


def test_sessions_that_became_read_only_are_replaced_when_there_are_others(half: Half) -> None:
    """As after a fail-over whose old primary lives on; nothing is restarted, nothing ended by hand."""
    half.configure("ALTER SYSTEM SET default_transaction_read_only = on")
    until(lambda: half.readiness("order")[0] == 503, 30, "order can keep nothing")
    assert half.shown("order").startswith(f"{NO} store_away")
    assert "store_away" in half.readiness("inventory")[1]
    assert half.readiness("loyalty") == (200, set())
    refused = half.checkout()
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert half.gauge("order", "saga_ready") == 0
    half.configure("ALTER SYSTEM RESET default_transaction_read_only")
    until(lambda: half.checkout().status_code == 201, 30, "checkouts flow again")
    until(half.is_well, 60, "all well again")


def test_a_redis_that_became_a_replica_blocks_loyalty_until_it_is_primary_again(half: Half) -> None:
    with httpx.Client(timeout=30) as client:
        set_standing(client, half.url, "zoe", suspended=False)
    with half.redis() as redis:
        redis.replicaof("127.0.0.1", 1)
        until(lambda: half.readiness("loyalty")[0] == 503, 30, "loyalty can keep nothing")
        until(lambda: "cache_away" in half.readiness("inventory")[1], 30, "the cache is missed")
        url = f"{half.url('loyalty')}/customers/zoe/standing"
        answer = httpx.put(url, json={"suspended": True}, timeout=30)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        redis.replicaof("NO", "ONE")
    until(half.is_well, 60, "all well again")
    with httpx.Client(timeout=30) as client:
        set_standing(client, half.url, "zoe", suspended=True)
    assert httpx.get(f"{half.url('loyalty')}/customers/zoe/points").json()["suspended"] is True
