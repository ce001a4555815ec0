"""How a client is let into a secured Kafka, what it reports where it is not, and how that heals."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from chassis.kafka import Cluster, NotLetInError, topics_of
from chassis.kafka import clients as kafka
from chassis.kafka.access import refusal, start
from chassis.kafka.cluster import Mechanism, Security
from chassis.kafka.consumer import Consumer
from chassis.message import OutboxRow
from chassis.outbox.relay import Relay
from chassis.process import runtime
from chassis.process.settings import ServiceSettings
from chassis.secret import Secret
from saga_cli.log.reader import records
from saga_cli.stack.authority import Authority
from shared_events.values import Order
from tests.integration.chassis_fixtures import in_memory
from tests.support.opened import Opened
from tests.support.records import an_order
from tests.support.secured import (
    GROUP,
    PASSWORDS,
    READ,
    SHA_256,
    TOPIC,
    WRITE,
    SecuredBroker,
    secured_broker,
)
from tests.support.tokens import CLIENT_SECRET
from tests.support.waiting import until_async

TOPIC_OF_ALL: Final = "test.of-all"
KIND: Final = in_memory()
FORWARD, FACTS = "shipping.forward", "shipping.facts"
OWN: Final = sorted(topics_of(KIND.service))
WAYS: Final[dict[str, Callable[[SecuredBroker], Cluster]]] = {
    "SCRAM-SHA-512": lambda broker: broker.user("order"),
    "SCRAM-SHA-256": lambda broker: replace(
        broker.user("order"), mechanism=Mechanism.SCRAM_SHA_256
    ),
    "PLAIN": lambda broker: replace(broker.user("order"), mechanism=Mechanism.PLAIN),
    "OAUTHBEARER": lambda broker: broker.client(),
    "mutual TLS": lambda broker: broker.owner(broker.authority.issue("order")),
}


@pytest.fixture(scope="module")
def broker() -> Iterator[SecuredBroker]:
    with secured_broker() as made:
        asyncio.run(_prepare(made))
        yield made


async def _prepare(broker: SecuredBroker) -> None:
    await broker.set_password("order", PASSWORDS["order"], SHA_256)
    read = KIND.service.topics
    topics = dict.fromkeys((TOPIC_OF_ALL, *OWN, *read), (1, kafka.KEEP_FOR_EVER))
    await kafka.ensure_topics(broker.user("admin"), topics)
    for operation in (READ, WRITE):
        await broker.permit("order", TOPIC, TOPIC_OF_ALL, operation)
    for topic in OWN:
        await broker.permit("shipping", TOPIC, topic, WRITE)
    for topic in read:
        await broker.permit("shipping", TOPIC, topic, READ)
    await broker.permit("shipping", GROUP, "shipping", READ)


@asynccontextmanager
async def producing(cluster: Cluster) -> AsyncIterator[Any]:
    producer = kafka.make_producer(cluster, "test")
    try:
        await start(producer, cluster)
        yield producer
    finally:
        await kafka.stop_within(producer, 5)


@pytest.mark.parametrize("way", WAYS)
async def test_a_client_that_is_let_in_writes_and_reads(broker: SecuredBroker, way: str) -> None:
    cluster = WAYS[way](broker)
    async with producing(cluster) as producer:
        await producer.send_and_wait(TOPIC_OF_ALL, way.encode())
    assert way.encode() in [record.value for record in await records(cluster, [TOPIC_OF_ALL])]


def without_certificate(broker: SecuredBroker) -> Cluster:
    return replace(broker.owner(broker.authority.issue("order")), cert_file="", key_file="")


def of_another_authority(broker: SecuredBroker) -> Cluster:
    other = Authority.at(broker.folder / "other")
    own = broker.owner(other.issue("order"))
    return replace(own, ca_file=str(broker.authority.ca_file))


def with_a_login(broker: SecuredBroker) -> Cluster:
    own = broker.owner(broker.authority.issue("order"))
    login = {"user": "order", "password": Secret(PASSWORDS["order"])}
    return replace(own, security=Security.SASL_SSL, **login)  # type: ignore[arg-type]


def at_another_name(broker: SecuredBroker) -> Cluster:
    """The same machine by a name that its certificate lacks."""
    return replace(broker.user("order"), bootstrap=f"127.1:{broker.ports['LOGIN']}")


def by_a_stranger(broker: SecuredBroker) -> Cluster:
    broker.issuer.signs_well = False
    return replace(broker.client(), scope="kafka")


WRONG: Final[dict[str, tuple[Callable[[SecuredBroker], Cluster], str]]] = {
    "wrong password": (
        lambda b: replace(b.user("order"), password=Secret("wrong-one")),
        "ORDER_KAFKA_PASSWORD: Kafka refused user order (SCRAM-SHA-512)",
    ),
    "wrong password in the clear": (
        lambda b: replace(b.user("order"), password=Secret("wrong-one"), mechanism=Mechanism.PLAIN),
        "ORDER_KAFKA_PASSWORD: Kafka refused user order (PLAIN)",
    ),
    "unknown user": (
        lambda b: replace(b.user("order"), user="nobody"),
        "ORDER_KAFKA_PASSWORD: Kafka refused user nobody (SCRAM-SHA-512)",
    ),
    "a mechanism that is not offered": (
        lambda b: replace(b.user("order", "ONLY512"), mechanism=Mechanism.SCRAM_SHA_256),
        "ORDER_KAFKA_MECHANISM: 127.0.0.1:{ONLY512} does not take SCRAM-SHA-256",
    ),
    "TLS to a plaintext port": (
        lambda b: b.user("order", "PLAIN"),
        "ORDER_KAFKA_SECURITY: 127.0.0.1:{PLAIN} does not speak TLS",
    ),
    "plaintext to a TLS port": (
        lambda b: b.at("LOGIN", Cluster("", prefix="ORDER")),
        "ORDER_KAFKA_SECURITY: 127.0.0.1:{LOGIN} speaks TLS, PLAINTEXT does not",
    ),
    "TLS without a login": (
        lambda b: b.at(
            "LOGIN",
            Cluster("", Security.SSL, ca_file=str(b.authority.ca_file), prefix="ORDER"),
        ),
        "ORDER_KAFKA_SECURITY: 127.0.0.1:{LOGIN} asks for a login",
    ),
    "a login where there is none": (
        with_a_login,
        "ORDER_KAFKA_SECURITY: 127.0.0.1:{MUTUAL} takes no login",
    ),
    "unknown authority": (
        lambda b: replace(b.user("order"), ca_file=str(Authority.at(b.folder / "other").ca_file)),
        "ORDER_KAFKA_CA_FILE: the certificate of 127.0.0.1:{LOGIN} is of none of {other}",
    ),
    "another host name": (
        at_another_name,
        "ORDER_KAFKA_BOOTSTRAP: the certificate of 127.1:{LOGIN} is for another host",
    ),
    "no certificate": (
        without_certificate,
        "ORDER_KAFKA_CERT_FILE: 127.0.0.1:{MUTUAL} refuses a client without a certificate",
    ),
    "a certificate of another authority": (
        of_another_authority,
        "ORDER_KAFKA_CERT_FILE: 127.0.0.1:{MUTUAL} refuses {cert}",
    ),
    "wrong client secret": (
        lambda b: replace(b.client(), client_secret=Secret("wrong-one")),
        "ORDER_KAFKA_CLIENT_SECRET: {issuer}: refused client order (invalid_client)",
    ),
    "wrong scope": (
        lambda b: replace(b.client(), scope="elsewhere"),
        "ORDER_KAFKA_SCOPE: {issuer}: refused client order (invalid_scope)",
    ),
    "a token that somebody else has signed": (
        by_a_stranger,
        "ORDER_KAFKA_TOKEN_URL: Kafka refused the token of client order ({issuer})",
    ),
}


@pytest.mark.parametrize("case", WRONG)
async def test_a_client_that_is_refused_says_which_setting(
    broker: SecuredBroker, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    make, expected = WRONG[case]
    cluster = make(broker)
    places = {
        **broker.ports,
        "issuer": broker.issuer.url,
        "cert": cluster.cert_file,
        "other": cluster.ca_file,
    }
    try:
        with caplog.at_level(logging.DEBUG), pytest.raises(NotLetInError) as refused:
            async with producing(cluster):
                pass
    finally:
        broker.issuer.signs_well = True
    assert str(refused.value) == expected.format(**places)
    printed = f"{refused.value!r} {cluster!r}"
    for secret in (*PASSWORDS.values(), CLIENT_SECRET, "wrong-one"):
        assert secret not in printed


def user(name: str) -> str:
    return f"{name.upper()}_KAFKA_USER: Kafka gives user {name} no right to"


@dataclass
class Working:
    """What a process of the shipping service has of Kafka, on a store in memory."""

    broker: SecuredBroker
    store: Opened
    relay: Relay
    consumer: Consumer

    async def put(self, topic: str) -> str:
        """A row in the outbox; its key."""
        key = an_order().order_id
        await self.store.put([OutboxRow(topic, key, b"{}", [])])
        self.relay.wake.set()
        return key

    async def put_until(self, topic: str, why: str) -> list[str]:
        """Rows until the broker knows that they are forbidden, and the relay says so; their keys."""
        keys: list[str] = []

        async def says() -> bool:
            keys.append(await self.put(topic))
            return self.relay.failing == why

        await until_async(says, 30, why, pause_s=0.3)
        return keys

    async def place(self) -> Order:
        """An event of a neighbour that shipping answers with one of its own."""
        order = an_order()
        record = KIND.first(order).record
        assert record is not None
        async with producing(self.broker.user("admin")) as producer:
            await producer.send_and_wait(
                record.topic, record.value, record.key, headers=list(record.headers)
            )
        return order

    async def says(self, why: str) -> bool:
        """Is that what is said of reading?"""
        await self.consumer.measure()
        return self.consumer.away == why

    async def published(self, *keys: str) -> None:
        """Wait until there is an event of each."""

        async def all_are_there() -> bool:
            found = await records(self.broker.user("admin"), OWN)
            return set(keys) <= {(record.key or b"").decode() for record in found}

        await until_async(all_are_there, 40, f"events of {keys}", pause_s=0.3)

    async def is_settled(self) -> None:
        """Nothing fails any more, nothing is left, and nothing was put aside."""
        await until_async(lambda: not self.relay.failing, 20, "no reason any more")
        backlog = await self.store.backlog()
        assert not backlog.outbox_refused
        assert await self.store.inspection.parked_keys() == []


@asynccontextmanager
async def working(broker: SecuredBroker, cluster: Cluster) -> AsyncIterator[Working]:
    store = await KIND.connect(KIND.service)
    relay = Relay(store.core.outbox, cluster, "shipping", send_timeout_s=5)
    consumer = store.consumer(cluster, stall_s=10, wake=(relay.wake,))
    stopping = asyncio.Event()
    tasks = [asyncio.create_task(part.run(stopping)) for part in (relay, consumer)]
    try:
        yield Working(broker, store, relay, consumer)
    finally:
        stopping.set()
        await asyncio.gather(*tasks)
        await store.close()


async def test_a_topic_that_may_not_be_written_waits_and_heals(broker: SecuredBroker) -> None:
    async with working(broker, broker.user("shipping")) as process:
        await broker.forbid("shipping", TOPIC, FORWARD, WRITE)
        waiting = await process.put_until(
            FORWARD, f"{FORWARD}: {user('shipping')} write topic {FORWARD}"
        )
        await process.published(await process.put(FACTS))
        await broker.permit("shipping", TOPIC, FORWARD, WRITE)
        await process.published(*waiting)
        await process.is_settled()


async def test_without_a_right_to_write_anything_all_waits_and_heals(broker: SecuredBroker) -> None:
    for topic in OWN:
        await broker.forbid("shipping", TOPIC, topic, WRITE)
    async with working(broker, broker.user("shipping")) as process:
        waiting = await process.put_until(FORWARD, f"{user('shipping')} write to any topic")
        for topic in OWN:
            await broker.permit("shipping", TOPIC, topic, WRITE)
        await process.published(*waiting)
        await process.is_settled()


async def test_a_group_that_may_not_be_joined_is_tried_ever_more_seldom_and_heals(
    broker: SecuredBroker,
) -> None:
    why = f"{user('shipping')} read as group shipping"
    async with working(broker, broker.user("shipping")) as process:
        await until_async(process.consumer.ready.is_set, 30, "an assignment")
        await broker.forbid("shipping", GROUP, "shipping", READ)
        await until_async(lambda: process.says(why), 30, why)
        placed = await process.place()
        await until_async(lambda: process.consumer.failures > 2, 30, "another try")
        assert await process.says(why)
        await broker.permit("shipping", GROUP, "shipping", READ)
        await process.published(placed.order_id)
        await until_async(lambda: process.says(""), 20, "no reason any more")
        await process.is_settled()


async def test_a_certificate_that_has_expired_is_named_and_a_new_one_is_taken(
    broker: SecuredBroker,
) -> None:
    issued = broker.authority.issue("shipping", lasting=timedelta(days=-1))
    cluster = broker.owner(issued, "SHIPPING")
    async with working(broker, cluster) as process:
        waiting = await process.put(FACTS)
        why = f"SHIPPING_KAFKA_CERT_FILE: {issued.cert_file}: the certificate has expired ("
        await until_async(lambda: process.relay.failing.startswith(why), 20, why)
        await until_async(lambda: process.consumer.away.startswith(why), 20, why)
        broker.authority.issue("shipping")
        await process.published(waiting, (await process.place()).order_id)
        await process.is_settled()


async def test_a_broker_whose_certificate_has_expired_is_named_and_a_new_one_is_trusted(
    broker: SecuredBroker,
) -> None:
    expired = broker.authority.issue("broker", lasting=timedelta(days=-1), file="expired")
    cluster, at = broker.user("shipping", "BRIEF"), f"127.0.0.1:{broker.ports['BRIEF']}"
    why = f"SHIPPING_KAFKA_BOOTSTRAP: the certificate of {at} has expired"

    async def is_presented() -> bool:
        return await refusal(cluster) == why

    await broker.present(expired, "BRIEF")
    await until_async(is_presented, 20, "the expired certificate")
    async with working(broker, cluster) as process:
        waiting = await process.put(FACTS)
        await until_async(lambda: process.relay.failing == why, 20, why)
        await until_async(lambda: process.consumer.away == why, 20, why)
        await broker.present(broker.authority.issue("broker", file="renewed"), "BRIEF")
        await process.published(waiting, (await process.place()).order_id)
        await process.is_settled()


async def test_a_password_that_changes_is_read_again_and_until_then_readiness_says_so(
    broker: SecuredBroker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A whole process but HTTP, at a listener whose sessions are brief: it has to log in again."""
    (file := tmp_path / "password").write_text(PASSWORDS["shipping"])
    given = replace(broker.user("shipping", "BRIEF"), password=Secret(file=file))
    fields: dict[str, Any] = {f"kafka_{name}": getattr(given, name) for name in Cluster.names()}
    settings = ServiceSettings(auth="off", **fields)
    store = await KIND.connect(KIND.service)
    node = runtime.assemble(KIND.service, settings, store.store, store.inspection)
    node.consumer.stall_s = 10
    running = asyncio.create_task(runtime.work(node, {}))
    process = Working(broker, store, node.relay, node.consumer)
    why = "KAFKA_PASSWORD: Kafka refused user shipping (SCRAM-SHA-512)"

    def reasons() -> dict[str, str]:
        return {condition.reason: condition.detail for condition in node.health.now()}

    await process.published((await process.place()).order_id)
    await broker.set_password("shipping", "the-next-one")
    await until_async(lambda: reasons().get("kafka_away") == why, 60, why)
    assert not any(condition.blocking for condition in node.health.now())
    waiting = await process.place()
    file.write_text("the-next-one")
    await process.published(waiting.order_id)
    await until_async(lambda: not reasons(), 40, "no reason any more")
    await process.is_settled()
    node.stopping.set()
    assert not await running
    await broker.set_password("shipping", PASSWORDS["shipping"])
    printed = "".join(capsys.readouterr())
    assert [s for s in (PASSWORDS["shipping"], "the-next-one") if s in printed] == []
