"""R15 and R16 on the running system: a log that is read again from its start, and one with a hole."""

import asyncio
from collections.abc import Iterator

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin.records_to_delete import RecordsToDelete
from redis import Redis

from chassis.kafka import PARTITIONS, admin_client
from guarantees.judge import JudgeReport
from loyalty_svc.store import KEYS
from saga_cli.log.reader import records
from saga_cli.stack.services import Services
from saga_cli.topology import BY_NAME, Addresses
from tests.support.redelivery import all_read, fingerprint, rewind
from tests.support.saga import first_finding, why
from tests.support.servers import private_stack, start_each
from tests.support.shop import checkout, place_many, settled
from tests.support.waiting import until

pytestmark = pytest.mark.long(50)

PATIENCE_S = 4


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    """A system of this module's own, whose log its tests may damage."""
    with private_stack() as (made, _):
        start_each(made)
        yield made


def test_groups_that_are_reset_to_earliest_lead_to_no_event_and_no_effect(
    services: Services,
) -> None:
    acknowledged = asyncio.run(place_many([services.url("order")], 60))
    assert settled(services, acknowledged).violations == []
    cluster = services.addresses.kafka
    asyncio.run(all_read(cluster))
    log, books = asyncio.run(records(cluster)), asyncio.run(fingerprint(services.addresses))
    for instance in services.instances:
        assert instance.process.stop() == 0
    assert min(asyncio.run(rewind(services.addresses)).values()) > 0
    redis = f"{services.addresses.redis_url}/{BY_NAME['loyalty'].redis_database}"
    with Redis.from_url(redis) as loyalty:  # its positions count, not Kafka's
        assert loyalty.delete(KEYS.offsets) == 1
    for instance in services.instances:
        instance.process.start()
    services.await_ready(services.instances)
    asyncio.run(all_read(cluster))
    assert settled(services, acknowledged).violations == []
    assert len(asyncio.run(records(cluster))) == len(log)
    assert asyncio.run(fingerprint(services.addresses)) == books


async def truncate(addresses: Addresses, topic: str) -> None:
    """What a wrong retention, or an unclean election, takes away."""
    consumer = AIOKafkaConsumer(**addresses.kafka.options())
    await consumer.start()
    ends = await consumer.end_offsets([TopicPartition(topic, p) for p in range(PARTITIONS)])
    await consumer.stop()
    async with admin_client(addresses.kafka) as admin:
        cut = {place: RecordsToDelete(before_offset=end) for place, end in ends.items()}
        await admin.delete_records(cut)


def reconciled(services: Services, order_id: str) -> JudgeReport:
    return settled(services, [order_id], 0)


def test_an_event_that_is_deleted_from_the_log_is_missed(services: Services) -> None:
    """The order is given up at its deadline, but who never heard of it can't answer: a person must know."""
    order = services.of("order")[0]
    assert order.process.stop() == 0
    order.process.env = {**order.process.env, "ORDER_PATIENCE_S": str(PATIENCE_S)}
    order.process.start()
    services.await_ready([order])
    (inventory,) = services.of("inventory")
    asyncio.run(all_read(services.addresses.kafka))
    assert inventory.process.stop() == 0
    order_id = checkout(services, wait_s=0).json()["order_id"]

    def is_published() -> bool:
        found = asyncio.run(records(services.addresses.kafka, ["order.forward"]))
        return order_id.encode() in {record.key for record in found}

    until(is_published, 30, "order.placed")
    asyncio.run(truncate(services.addresses, "order.forward"))
    inventory.process.start()
    services.await_ready([inventory])

    def is_missed() -> list[str]:
        report = reconciled(services, order_id)
        return [v for v in report.violations if order_id in v and v.startswith("G7")]

    assert "skips a number" in until(is_missed, PATIENCE_S + 30, "a gap in the log")[0]
    assert why(services, order_id)["state"] == "Cancelling"
    finding = first_finding(services, order_id)
    assert (finding["service"], finding["where"]) == ("inventory", "kafka"), finding
    assert "order.placed.v1" in finding["what"]
    report = reconciled(services, order_id)
    assert f"G1 not settled: Cancelling ({order_id})" in report.violations
