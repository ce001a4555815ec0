"""A service's topics with other records than those that it has published."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from aiokafka import ConsumerRecord

from chassis.kafka import admin_client, ensure_topics, topics_of
from chassis.message import OutboxRow
from chassis.outbox import Sender
from chassis.service import Service
from saga_cli.republish.leading import leading, opened
from saga_cli.targets import Targets
from saga_cli.topology import Addresses
from tests.support.waiting import until_async


async def rewritten(addresses: Addresses, service: Service, rows: Iterable[OutboxRow]) -> None:
    """Its lanes are made anew, and these rows are published; its relays stand back meanwhile."""
    places = Targets(addresses.kafka, addresses)
    async with opened(places, service) as store, leading(store):
        await emptied(addresses, service)
        sender = Sender(addresses.kafka, "test")
        left = {str(number): row for number, row in enumerate(rows)}

        async def are_published() -> bool:
            """A topic that was made just now may not be known everywhere."""
            acknowledged, _ = await sender.publish([*left.items()])
            for number in acknowledged:
                del left[number]
            return not left

        await until_async(are_published, 60, "an acknowledgement of each record")
        await sender.drop_producer()


async def emptied(addresses: Addresses, service: Service) -> None:
    """Its lanes are gone, and there again, without a record."""
    lanes, made = service.catalog.lanes_of(service.name), topics_of(service)
    await deleted(addresses, lanes)
    await ensure_topics(addresses.kafka, {topic: made[topic] for topic in lanes})


async def deleted(addresses: Addresses, topics: Iterable[str]) -> None:
    async with admin_client(addresses.kafka) as admin:
        await admin.delete_topics([*topics])
        await until_async(partial(_lack, admin, topics), 30, "the end of the topics")


async def _lack(admin: Any, topics: Iterable[str]) -> bool:
    return not {*topics} & {*await admin.list_topics()}


def as_row(record: ConsumerRecord[bytes, bytes], topic: str = "") -> OutboxRow:
    """The record to be published once more, in its topic or another."""
    headers = [*record.headers]
    return OutboxRow(topic or record.topic, record.key.decode(), record.value, headers)


def number_of(record: ConsumerRecord[bytes, bytes]) -> int:
    """Its event's number, among all of its key."""
    return int(dict(record.headers)["ce_sequence"])
