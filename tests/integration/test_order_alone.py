"""The order service without its neighbours: what a key, an outage and the gauges do to a checkout."""

import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

import httpx
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from chassis.ids import new_id
from saga_cli.demo import a_checkout
from saga_cli.stack.servers import Servers
from saga_cli.stack.services import Services
from saga_cli.topology import BY_NAME
from tests.support.servers import fast_paths, private_stack
from tests.support.waiting import until

CLOCK = [{"sku": "CLOCK", "quantity": 1}]


@dataclass(frozen=True)
class Alone:
    """One process of the order service: taking an order needs none of the other services."""

    url: str
    servers: Servers
    services: Services

    def checkout(self, key: str | None = None, prefer: str = "", **changes: Any) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else {}
        if prefer:
            headers["Prefer"] = prefer
        body = a_checkout(**{"lines": CLOCK, **changes})
        return httpx.post(f"{self.url}/checkout", json=body, headers=headers, timeout=40)

    def price(self, sku: str) -> None:
        product = {"name": "A thing", "price_minor": 100}
        httpx.put(f"{self.url}/catalogue/{sku}", json=product).raise_for_status()

    def orders_of(self, customer: str) -> list[str]:
        page = httpx.get(f"{self.url}/orders", params={"customer_id": customer}).json()
        return [order["order_id"] for order in page["orders"]]

    def waits(self, what: str) -> float:
        """The gauge of what waits in the store, as /metrics tells it."""
        text = httpx.get(f"{self.url}/metrics").text
        labels = {"service": "order"}
        samples = [s for f in text_string_to_metric_families(text) for s in f.samples]
        (value,) = (s.value for s in samples if s.name == f"saga_{what}" and s.labels == labels)
        return value

    @contextmanager
    def another(self) -> Iterator["Alone"]:
        """One more process, without fast paths, which the test stops; it ends well."""
        instance = self.services.start("order", fast_paths("order", "none"))
        other = replace(self, url=instance.url)
        until(lambda: _is_live(other), 60, "another order service")
        yield other
        assert instance.process.await_exit(25) == 0

    def stop(self) -> None:
        """Ask the process to end, and do not wait for it."""
        (instance,) = (i for i in self.services.of("order") if i.url == self.url)
        instance.process.signal(signal.SIGTERM)

    def database(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.servers.addresses.database_url(BY_NAME["order"]))


@pytest.fixture(scope="module")
def alone() -> Iterator[Alone]:
    with private_stack() as (services, servers):
        instance = services.start("order")
        shop = Alone(instance.url, servers, services)
        until(lambda: _is_live(shop), 60, "the order service")
        shop.price("CLOCK")
        yield shop
        assert instance.process.stop() == 0


def _is_live(shop: Alone) -> bool:
    try:
        return httpx.get(f"{shop.url}/health/live").is_success
    except httpx.TransportError:
        return False


def a_key() -> str:
    return f"key-{time.monotonic_ns()}"


def is_replayed(answer: httpx.Response) -> bool:
    return bool(answer.headers.get("Idempotency-Replayed") == "true")


def test_a_request_whose_twin_is_being_handled_is_told_so(alone: Alone) -> None:
    key = a_key()
    alone.checkout()  # a customer's first order looks for older ones, and would wait for the table
    with ThreadPoolExecutor(1) as pool, alone.database() as blocker:
        blocker.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        first = pool.submit(alone.checkout, key)
        until(lambda: _is_queued(alone), 20, "a transaction that waits for the table")
        twin = alone.checkout(key)
        assert (twin.status_code, twin.json()["code"]) == (409, "in_flight")
        blocker.rollback()
        answer = first.result()
    assert (answer.status_code, is_replayed(answer)) == (201, False)
    again = alone.checkout(key)
    assert (again.status_code, is_replayed(again)) == (201, True)
    assert again.json() == answer.json()


def _is_queued(alone: Alone) -> bool:
    query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'orders'::regclass"
    with alone.database() as connection:
        row = connection.execute(query).fetchone()
    return row is not None and row[0] > 0


def test_who_waits_for_an_order_is_answered_with_it_when_the_process_stops(alone: Alone) -> None:
    """Without its id, who has no key would buy twice."""
    with ThreadPoolExecutor(2) as pool, alone.another() as other:
        customers = [f"c-{new_id()}" for _ in range(2)]
        waits = [pool.submit(other.checkout, None, "wait=40", customer_id=c) for c in customers]
        until(lambda: all(map(alone.orders_of, customers)), 20, "orders that are waited for")
        other.stop()
        answers = [wait.result() for wait in waits]
    for answer, customer in zip(answers, customers, strict=True):
        (order_id,) = alone.orders_of(customer)
        assert (answer.status_code, answer.json()["order_id"]) == (202, order_id)
        assert answer.headers["location"] == f"/orders/{order_id}"
        assert answer.headers["connection"] == "close"


def test_an_order_is_followed_whichever_process_changes_it_until_that_process_stops(
    alone: Alone,
) -> None:
    order_id = alone.checkout().json()["order_id"]
    with (
        alone.another() as other,
        httpx.stream("GET", f"{other.url}/orders/{order_id}/events", timeout=40) as answer,
    ):
        lines = answer.iter_lines()
        assert _data_of(lines, "id: 1")["state"] == "PENDING"
        httpx.post(f"{alone.url}/orders/{order_id}/cancel").raise_for_status()
        assert _data_of(lines, "id: 2")["state"] == "CANCELLING"
        other.stop()
        assert list(lines) == [""]


def _data_of(lines: Iterator[str], end: str) -> Any:
    """The data of the event that ends with this line."""
    read = list(takewhile(lambda line: line != end, lines))
    return json.loads(read[-1].removeprefix("data: "))


def test_what_is_being_committed_when_the_process_stops_has_its_real_answer(alone: Alone) -> None:
    customer = f"c-{new_id()}"
    with ThreadPoolExecutor(1) as pool, alone.another() as other:
        with alone.database() as blocker:
            blocker.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
            placing = pool.submit(other.checkout, customer_id=customer)
            until(lambda: _is_queued(alone), 20, "a transaction that waits for the table")
            other.stop()
            until(lambda: not _is_live(other), 20, "a process that takes no more connections")
            blocker.rollback()
        answer = placing.result()
    assert (answer.status_code, [answer.json()["order_id"]]) == (201, alone.orders_of(customer))


def test_another_body_under_the_same_key_is_refused_and_the_first_answer_stands(
    alone: Alone,
) -> None:
    key = a_key()
    first = alone.checkout(key)
    other = alone.checkout(key, country="FR")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert not is_replayed(other)
    assert alone.checkout(key).json() == first.json()


def test_a_request_that_failed_for_an_outage_is_decided_when_it_comes_again(alone: Alone) -> None:
    """A 5xx says nothing of the outcome and is not kept under the key: the next try decides."""
    key, customer = a_key(), f"c-{new_id()}"
    alone.servers.postgres.kill()
    failed = alone.checkout(key, customer_id=customer)
    assert (failed.status_code, failed.json()["code"]) == (503, "unavailable")
    assert failed.headers["content-type"] == "application/problem+json"
    assert failed.headers["Retry-After"] == "1"
    alone.servers.restart(alone.servers.postgres)
    until(lambda: alone.checkout().is_success, 30, "the database is back")
    answer = alone.checkout(key, customer_id=customer)
    assert (answer.status_code, is_replayed(answer)) == (201, False)
    again = alone.checkout(key, customer_id=customer)
    assert (again.json(), is_replayed(again)) == (answer.json(), True)
    assert alone.orders_of(customer) == [again.json()["order_id"]]


def test_a_refusal_is_not_kept_under_the_key(alone: Alone) -> None:
    """Nothing was decided, so that the client may mend the cause and send the same again."""
    key, sku = a_key(), f"NEW-{new_id()}"
    lines = [{"sku": sku, "quantity": 1}]
    refused = alone.checkout(key, lines=lines)
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_sku")
    alone.price(sku)
    answer = alone.checkout(key, lines=lines)
    assert (answer.status_code, is_replayed(answer)) == (201, False)


def test_a_checkout_without_a_key_is_a_new_order_each_time(alone: Alone) -> None:
    """A key is the client's to give; none is required."""
    first, second = alone.checkout(), alone.checkout()
    assert first.json()["order_id"] != second.json()["order_id"]


def test_a_repeated_cancellation_says_that_it_is_one(alone: Alone) -> None:
    order_id = alone.checkout().json()["order_id"]
    headers = {"Idempotency-Key": a_key()}
    first, again = (
        httpx.post(f"{alone.url}/orders/{order_id}/cancel", headers=headers) for _ in range(2)
    )
    assert (first.status_code, again.status_code) == (202, 202)
    assert (is_replayed(first), is_replayed(again)) == (False, True)
    assert first.json() == again.json()


def test_what_waits_for_kafka_is_measured_and_is_nothing_when_it_is_back(alone: Alone) -> None:
    """The age of the oldest row grows in the metrics, though Kafka is away all the while."""
    until(lambda: alone.waits("outbox_rows") == 0, 30, "an empty outbox")
    alone.servers.kafka.kill()
    assert alone.checkout().status_code == 201
    until(lambda: alone.waits("outbox_rows") >= 1, 30, "a row that waits")
    early = alone.waits("outbox_oldest_seconds")
    until(lambda: alone.waits("outbox_oldest_seconds") > early + 3, 30, "an age that grows")
    alone.servers.restart(alone.servers.kafka)
    until(lambda: alone.waits("outbox_rows") == 0, 60, "an empty outbox")
    until(lambda: alone.waits("outbox_oldest_seconds") == 0, 30, "no age")
