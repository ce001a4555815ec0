"""ORDER_ACKNOWLEDGE=published: whoever is answered 201 has an order that Kafka has."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from saga_cli.demo import a_checkout
from saga_cli.log.reader import records
from saga_cli.stack.servers import Servers
from tests.support.problems import outcome_of
from tests.support.servers import private_stack
from tests.support.waiting import until

CLOCK = [{"sku": "CLOCK", "quantity": 1}]


@dataclass(frozen=True)
class Careful:
    """One process of the order service, and its servers."""

    url: str
    servers: Servers

    def checkout(self, key: str) -> httpx.Response:
        body = a_checkout(lines=CLOCK, customer_id="ann")
        headers = {"Idempotency-Key": key}
        return httpx.post(f"{self.url}/checkout", json=body, headers=headers, timeout=40)

    def published(self) -> set[bytes]:
        bootstrap = self.servers.addresses.kafka_bootstrap
        return {r.key for r in asyncio.run(records(bootstrap, ["order.forward"]))}


@pytest.fixture(scope="module")
def careful() -> Iterator[Careful]:
    with private_stack() as (services, servers):
        order = services.start("order", {"ORDER_ACKNOWLEDGE": "published"})
        careful = Careful(order.url, servers)
        until(lambda: _is_priced(careful), 60, "the order service")
        yield careful


def _is_priced(careful: Careful) -> bool:
    product = {"name": "A clock", "price_minor": 100}
    try:
        return httpx.put(f"{careful.url}/catalogue/CLOCK", json=product).is_success
    except httpx.TransportError:
        return False


def test_an_acknowledged_order_is_in_the_log_already(careful: Careful) -> None:
    for number in range(20):
        answer = careful.checkout(f"key-{number}")
        assert answer.status_code == 201, answer.text
        order_id = answer.json()["order_id"]
        assert order_id.encode() in careful.published()


def test_without_kafka_an_order_is_kept_and_acknowledged_when_it_is_asked_for_again(
    careful: Careful,
) -> None:
    careful.servers.kafka.kill()
    kept = careful.checkout("in-an-outage")
    assert (kept.status_code, kept.json()["code"]) == (503, "not_published"), kept.text
    assert kept.headers["Retry-After"] == "1"
    careful.servers.restart(careful.servers.kafka)
    last = until(lambda: _acknowledged(careful.checkout("in-an-outage")), 90)
    assert last.headers["Idempotency-Replayed"] == "true"
    assert last.json()["order_id"] == kept.json()["order_id"]
    assert last.json()["order_id"].encode() in careful.published()


def _acknowledged(answer: httpx.Response) -> httpx.Response | None:
    assert outcome_of(answer) in {(201, ""), (503, "not_published"), (503, "unavailable")}, (
        answer.text
    )
    return answer if answer.status_code == 201 else None
