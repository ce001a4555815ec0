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
from tests.support.servers import fast_paths, private_stack
from tests.support.waiting import until

CLOCK = [{"sku": "CLOCK", "quantity": 1}]


@dataclass(frozen=True)
class Careful:
    """Two processes of the order service, with all fast paths and without, and their servers."""

    urls: tuple[str, ...]
    servers: Servers

    def checkout(self, key: str, nth: int = 0) -> httpx.Response:
        body = a_checkout(lines=CLOCK, customer_id="ann")
        headers = {"Idempotency-Key": key}
        url = self.urls[nth % len(self.urls)]
        return httpx.post(f"{url}/checkout", json=body, headers=headers, timeout=40)

    def published(self) -> set[bytes]:
        cluster = self.servers.addresses.kafka
        return {r.key for r in asyncio.run(records(cluster, ["order.forward"]))}


@pytest.fixture(scope="module")
def careful() -> Iterator[Careful]:
    with private_stack() as (services, servers):
        for on in ("all", "none"):
            services.start("order", {"ORDER_ACKNOWLEDGE": "published", **fast_paths("order", on)})
        careful = Careful(tuple(instance.url for instance in services.instances), servers)
        until(lambda: all(map(_is_priced, careful.urls)), 60, "the order service")
        yield careful


def _is_priced(url: str) -> bool:
    product = {"name": "A clock", "price_minor": 100}
    try:
        return httpx.put(f"{url}/catalogue/CLOCK", json=product).is_success
    except httpx.TransportError:
        return False


def test_an_acknowledged_order_is_in_the_log_already(careful: Careful) -> None:
    for number in range(20):
        answer = careful.checkout(f"key-{number}", number)
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
    last = until(lambda: _acknowledged(careful.checkout("in-an-outage", 1)), 90)
    assert last.headers["Idempotency-Replayed"] == "true"
    assert last.json()["order_id"] == kept.json()["order_id"]
    assert last.json()["order_id"].encode() in careful.published()


def _acknowledged(answer: httpx.Response) -> httpx.Response | None:
    assert outcome_of(answer) in {(201, ""), (503, "not_published"), (503, "unavailable")}, (
        answer.text
    )
    return answer if answer.status_code == 201 else None
