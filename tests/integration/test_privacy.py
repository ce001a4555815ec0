"""Where a customer's name and address go, on the running system: to one topic, and away again."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import uuid4

import psycopg
from aiokafka import AIOKafkaProducer
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from chassis.events import dead_letters_of
from chassis.kafka import Cluster, admin_client
from saga_cli.log.reader import LANES, records
from saga_cli.stack.services import Services
from saga_cli.topology import BY_NAME
from shared_events.catalog import DELIVERY_DETAILS
from tests.support.saga import on_servers
from tests.support.shop import checkout, settled
from tests.support.waiting import until

KEPT = (*LANES, *(dead_letters_of(name) for name in BY_NAME))


@dataclass(frozen=True)
class MarkedCustomer:
    """One whose name, address and mail all hold a mark that nothing else has."""

    mark: str = field(default_factory=lambda: f"mark{uuid4()}")

    @property
    def delivery(self) -> dict[str, str]:
        return {
            "name": f"Zoë {self.mark}",
            "street": f"Rue {self.mark} 5",
            "city": f"Ville-{self.mark}",
            "email": f"{self.mark}@example.com",
        }

    def order(self, stack: Services) -> str:
        """Place an order and wait until it is settled; returns its id."""
        order_id: str = checkout(stack, delivery=self.delivery).json()["order_id"]
        assert settled(stack, [order_id]).violations == []
        return order_id


def holding(mark: str, services: Services, topics: Iterable[str]) -> list[str]:
    """Keys of the records that hold the mark anywhere in their bytes."""
    found = asyncio.run(records(services.addresses.kafka, topics))
    parts = [
        (r.key or b"", (r.key or b"", r.value or b"", *(v for _, v in r.headers))) for r in found
    ]
    return [key.decode() for key, raw in parts if any(mark.encode() in part for part in raw)]


def addresses_of(services: Services, order_id: str) -> list[str]:
    """Streets that shipping knows for an order."""
    with psycopg.connect(services.addresses.database_url(BY_NAME["shipping"])) as connection:
        query = "SELECT street FROM delivery_details WHERE order_id = %s AND street <> ''"
        return [row[0] for row in connection.execute(query, (order_id,))]


def test_an_address_is_on_the_compacted_topic_alone_and_a_tombstone_erases_it(
    stack: Services,
) -> None:
    customer = MarkedCustomer()
    order_id = customer.order(stack)
    until(lambda: addresses_of(stack, order_id) == [customer.delivery["street"]], 20, "the address")
    assert holding(customer.mark, stack, [DELIVERY_DETAILS]) == [order_id]
    assert holding(customer.mark, stack, KEPT) == []
    asyncio.run(erase(stack.addresses.kafka, order_id))
    until(lambda: addresses_of(stack, order_id) == [], 20, "its erasure")


def kept_for(services: Services, order_id: str) -> int:
    """How many rows the order service keeps of an order's details, published or not."""
    query = """
    SELECT count(*) FROM (SELECT topic, key, value FROM published
                          UNION ALL SELECT topic, key, value FROM outbox) AS rows
    WHERE topic = %s AND key = %s AND value IS NOT NULL
    """
    with psycopg.connect(services.addresses.database_url(BY_NAME["order"])) as connection:
        (row,) = connection.execute(query, (DELIVERY_DETAILS, order_id))
        return int(row[0])


def test_what_is_kept_of_an_address_is_erased_with_it(stack: Services) -> None:
    customer = MarkedCustomer()
    order_id = customer.order(stack)
    until(lambda: addresses_of(stack, order_id), 20, "the address")
    assert kept_for(stack, order_id) == 1
    erased = on_servers(stack, "erase", order_id)
    assert erased.code == 0, erased
    assert kept_for(stack, order_id) == 0
    until(lambda: addresses_of(stack, order_id) == [], 20, "its erasure")
    assert on_servers(stack, "erase", "nobody's").code == 1


def test_no_log_of_a_service_tells_a_customers_data(stack: Services) -> None:
    customer = MarkedCustomer()
    customer.order(stack)
    logs = {i.process.name: i.process.log.read_text(errors="replace") for i in stack.instances}
    assert [name for name, text in logs.items() if customer.mark in text] == []
    assert [name for name, text in logs.items() if "tok_visa" in text] == []


def test_topics_are_kept_for_ever_but_for_the_one_with_addresses(stack: Services) -> None:
    policies = asyncio.run(cleanup_policies(stack.addresses.kafka))
    assert policies[DELIVERY_DETAILS] == "compact"
    assert {policies[topic] for topic in LANES} == {"delete"}


async def erase(cluster: Cluster, order_id: str) -> None:
    producer = AIOKafkaProducer(**cluster.options(), acks="all")
    await producer.start()
    try:
        await producer.send_and_wait(DELIVERY_DETAILS, value=None, key=order_id.encode())
    finally:
        await producer.stop()


async def cleanup_policies(cluster: Cluster) -> dict[str, str]:
    wanted = [
        ConfigResource(ConfigResourceType.TOPIC, topic) for topic in (*LANES, DELIVERY_DETAILS)
    ]
    async with admin_client(cluster) as admin:
        (response,) = await admin.describe_configs(wanted)
    return {
        name: entry[1]
        for _, _, _, name, entries in response.resources
        for entry in entries
        if entry[0] == "cleanup.policy"
    }
