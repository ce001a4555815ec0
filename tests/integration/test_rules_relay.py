"""R6: what Kafka refuses for one event holds up nothing else, and nobody has to restart anything."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest

from chassis.dead_letters import unreadable
from chassis.kafka import Cluster, admin_client
from chassis.kafka import clients as kafka
from chassis.message import BATCH_BYTES, Decided, OutboxRow, Parked, Record, size_of
from chassis.outbox.relay import Relay
from saga_cli.log.reader import records
from saga_cli.stack.servers import Servers
from shared_events.catalog import DELIVERY_DETAILS
from tests.integration.chassis_fixtures import Kind, on_postgres
from tests.support.opened import Opened
from tests.support.records import an_order
from tests.support.servers import private_servers
from tests.support.waiting import until_async

AUTHORIZER: Final = """
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=true
"""
TOPIC, LITERAL, WRITE, DENY = 2, 3, 4, 2  # the protocol's numbers
EVENTS, FORWARD = "shipping.facts", "shipping.forward"
LETTERS: Final = "shipping.dead-letters"


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """A broker that may be told to refuse."""
    with private_servers() as made:
        made.kafka.stop()
        with (made.folder / "kafka.properties").open("a") as config:
            config.write(AUTHORIZER)
        made.restart(made.kafka)
        yield made


@pytest.fixture
async def kind(servers: Servers) -> Kind:
    topics = dict.fromkeys((EVENTS, FORWARD, DELIVERY_DETAILS), (3, kafka.KEEP_FOR_EVER))
    topics[LETTERS] = (1, kafka.DEAD_LETTERS)
    await kafka.ensure_topics(servers.addresses.kafka, topics)
    return on_postgres(servers.addresses)


@asynccontextmanager
async def relaying(
    kind: Kind, cluster: Cluster, **settings: Any
) -> AsyncIterator[tuple[Opened, Relay]]:
    store = await kind.connect(kind.service)
    relay, stopping = Relay(store.core.outbox, cluster, "shipping", **settings), asyncio.Event()
    running = asyncio.create_task(relay.run(stopping))
    try:
        yield store, relay
    finally:  # a relay that still leads would fail the tests after this one as well
        stopping.set()
        await running
        await store.close()


def denied(topic: str) -> tuple[Any, ...]:
    return TOPIC, topic, LITERAL, "User:ANONYMOUS", "*", WRITE, DENY


async def keys_of(cluster: Cluster, topic: str) -> list[str]:
    return [(record.key or b"").decode() for record in await records(cluster, [topic])]


async def ask(cluster: Cluster, request: Any) -> None:
    async with admin_client(cluster) as admin:
        answer = (await admin._send_request(request)).to_object()
        assert "'error_code': 0" in str(answer), answer


async def outbox_is_empty(store: Opened) -> bool:
    return bool((await store.backlog()).outbox_rows == 0)


async def test_an_event_too_large_is_parked_and_others_flow(servers: Servers, kind: Kind) -> None:
    cluster = servers.addresses.kafka
    huge, good = an_order(unknown={"note": "x" * 600_000}), an_order()
    async with relaying(kind, cluster) as (store, relay):
        outcomes = await store.handle([kind.first(huge), kind.first(good)])
        assert isinstance(outcomes[0], Parked), outcomes[0]
        assert "larger than" in outcomes[0].reason
        assert isinstance(outcomes[1], Decided)
        relay.wake.set()
        await until_async(lambda: outbox_is_empty(store), what="an empty outbox")
        assert relay.failing == ""
    published = await keys_of(cluster, EVENTS)
    assert good.order_id in published
    assert huge.order_id not in published


async def test_the_largest_record_that_kafka_takes_is_a_dead_letter_as_it_was(
    servers: Servers, kind: Kind
) -> None:
    """The copy is larger than the original, by what its headers say of it."""
    cluster = servers.addresses.kafka
    key, value = an_order().order_id, b"\x80" * 1_048_000
    record = Record("payment.forward", 5, 0, key.encode(), value, (("ce_type", b"no.such.type"),))
    good = an_order()
    async with relaying(kind, cluster) as (store, relay):
        await store.handle([kind.first(good), unreadable(record, "malformed: " + "?" * 900)])
        relay.wake.set()
        await until_async(lambda: outbox_is_empty(store), what="an empty outbox")
        assert relay.failing == ""
    assert good.order_id in await keys_of(cluster, EVENTS)
    letters = await records(cluster, [LETTERS])
    assert [letter.value for letter in letters if letter.key == key.encode()] == [value]


async def test_a_topic_that_is_forbidden_holds_up_no_other_and_flows_when_it_is_permitted(
    servers: Servers, kind: Kind
) -> None:
    """More rows wait than the relay reads at once, and the events come after them."""
    cluster = servers.addresses.kafka
    rubbish = [an_order().order_id for _ in range(12)]
    letters = [Record("payment.forward", 6, n, k.encode(), b"?", ()) for n, k in enumerate(rubbish)]
    orders = [an_order() for _ in range(3)]
    await ask(cluster, CreateAclsRequest(*denied(LETTERS)))
    async with relaying(kind, cluster, batch_rows=5) as (store, relay):
        await store.handle([unreadable(letter, "malformed: rubbish") for letter in letters])
        await store.handle([kind.first(order) for order in orders])
        wanted = {order.order_id for order in orders}

        async def others_flow() -> bool:
            return wanted <= set(await keys_of(cluster, EVENTS))

        await until_async(others_flow, what="the events of the other topic")
        assert f"no right to write topic {LETTERS}" in relay.failing
        await ask(cluster, DeleteAclsRequest(*denied(LETTERS)))
        await until_async(lambda: outbox_is_empty(store), what="an empty outbox")
    kept = [key for key in await keys_of(cluster, LETTERS) if key in rubbish]
    assert list(dict.fromkeys(kept)) == rubbish


async def test_while_a_lane_is_forbidden_no_event_of_a_key_overtakes_one_and_what_is_no_event_flows(
    servers: Servers, kind: Kind
) -> None:
    cluster, log = servers.addresses.kafka, frozenset(kind.service.log_topics)
    first, other, letter, details = (an_order().order_id for _ in range(4))
    rows = [OutboxRow(FORWARD, first, b"1", []), OutboxRow(EVENTS, first, b"2", [])]
    rows += [OutboxRow(LETTERS, letter, b"?", []), OutboxRow(DELIVERY_DETAILS, details, b"?", [])]
    await ask(cluster, CreateAclsRequest(*denied(FORWARD)))
    async with relaying(kind, cluster, together=log) as (store, relay):
        await store.put(rows)

        async def others_flow() -> bool:
            return letter in await keys_of(cluster, LETTERS) and details in await keys_of(
                cluster, DELIVERY_DETAILS
            )

        await until_async(others_flow, what="what is no event of the log")
        await until_async(lambda: relay.failing, what="the reason")
        assert relay.failing.startswith(f"{FORWARD}: ")
        assert f"no right to write topic {FORWARD}" in relay.failing
        await store.put([OutboxRow(EVENTS, other, b"1", [])])
        await until_async(lambda: _is_in(cluster, EVENTS, other), what="another try of the lane")
        assert not await _is_in(cluster, EVENTS, first)
        await ask(cluster, DeleteAclsRequest(*denied(FORWARD)))
        await until_async(lambda: outbox_is_empty(store), what="an empty outbox")
        await until_async(lambda: not relay.failing, what="no reason any more")
    assert await _is_in(cluster, FORWARD, first)
    assert await _is_in(cluster, EVENTS, first)


async def _is_in(cluster: Cluster, topic: str, key: str) -> bool:
    return key in await keys_of(cluster, topic)


async def test_a_row_that_kafka_never_takes_is_set_aside_and_its_key_alone_waits(
    servers: Servers, kind: Kind
) -> None:
    """A batch of which one row is too large for the broker goes, but for that one and what is behind it."""
    cluster = servers.addresses.kafka
    bad, key = an_order().order_id, an_order().order_id
    rows = [OutboxRow(EVENTS, f"{key}-{n}", b"%d" % n, []) for n in range(20)]
    rows.insert(7, OutboxRow(EVENTS, bad, b"x" * 1_100_000, []))
    rows.insert(12, OutboxRow(EVENTS, bad, b"later", []))
    async with relaying(kind, cluster) as (store, relay):
        await store.put(rows)
        wanted = {row.key for row in rows} - {bad}

        async def others_flow() -> bool:
            return wanted <= set(await keys_of(cluster, EVENTS))

        await until_async(others_flow, what="the other keys")
        operations = store.inspection
        (refused,) = await until_async(lambda: operations.refused(10), what="a refusal")
        assert (refused.row, refused.later) == (rows[7], 1)
        assert "MessageSizeTooLarge" in refused.why
        assert bad not in await keys_of(cluster, EVENTS)
        assert (relay.failing, (await store.backlog()).outbox_refused) == ("", 1.0)
        assert (await operations.whereabouts(bad)).refused == refused.why
        assert await operations.drop("0", "ann", "no such row") is None
        assert await operations.drop(refused.id, "ann", "a test") == refused
        await until_async(lambda: outbox_is_empty(store), what="what was behind it")
        assert [action.action for _, action in await operations.actions(bad)] == ["drop"]
    assert (await keys_of(cluster, EVENTS)).count(bad) == 1


async def test_a_row_that_was_set_aside_is_published_when_the_topic_takes_it(
    servers: Servers, kind: Kind
) -> None:
    """First it, then what is behind it."""
    cluster = servers.addresses.kafka
    key = an_order().order_id
    rows = [OutboxRow(EVENTS, key, value, []) for value in (b"x" * 1_100_000, b"second", b"third")]
    async with relaying(kind, cluster) as (store, _):
        await store.put(rows)
        operations = store.inspection
        (refused,) = await until_async(lambda: operations.refused(1), what="a refusal")
        await set_topic(cluster, EVENTS, "max.message.bytes", "2000000")
        assert await operations.release(refused.id, "ann", "the topic takes it now") == refused
        await until_async(lambda: outbox_is_empty(store), what="an empty outbox")
    values = [r.value for r in await records(cluster, [EVENTS]) if r.key == key.encode()]
    assert values == [row.value for row in rows]
    await set_topic(cluster, EVENTS, "max.message.bytes", "1048588")


async def set_topic(cluster: Cluster, topic: str, name: str, value: str) -> None:
    async with admin_client(cluster) as admin:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {name: value})])


async def test_a_record_larger_than_the_dead_letter_topic_takes_is_copied_in_part(
    servers: Servers, kind: Kind
) -> None:
    """Three megabytes of spaces, a few kilobytes as they came: the table has all, the copy says where."""
    cluster = servers.addresses.kafka
    key, value = an_order().order_id, b" " * 3_000_000
    headers = (("ce_type", b"no.such.type"), ("large", b"h" * 1_000_000))
    record = Record("payment.forward", 2, 71, key.encode(), value, headers)
    good = an_order()
    async with relaying(kind, cluster) as (store, relay):
        await store.handle([unreadable(record, "malformed: " + "?" * 2000)])
        await store.handle([kind.first(good)])
        relay.wake.set()
        await until_async(lambda: outbox_is_empty(store), what="an empty outbox")
        assert (relay.failing, (await store.backlog()).outbox_refused) == ("", 0.0)
        (parked,) = await store.inspection.dead_letters(key)
    assert parked.record == record
    (copy,) = [r for r in await records(cluster, [LETTERS]) if r.key == key.encode()]
    named = dict(copy.headers)
    assert value.startswith(copy.value)
    assert len(copy.value) > 500_000
    names = ("dlq_topic", "dlq_partition", "dlq_offset", "dlq_truncated", "ce_type")
    expected = [b"payment.forward", b"2", b"71", b"3000000", b"no.such.type"]
    assert [named[name] for name in names] == expected


async def test_no_more_than_so_many_bytes_are_read_at_once(servers: Servers, kind: Kind) -> None:
    """One row at least; and all of them go."""
    rows = [OutboxRow(EVENTS, an_order().order_id, b"x" * 1_000_000, []) for _ in range(20)]
    async with relaying(kind, servers.addresses.kafka) as (store, _):
        await until_async(lambda: outbox_is_empty(store), what="an empty outbox")
    reader = await kind.connect(kind.service)
    await reader.put(rows)
    await until_async(reader.lead, what="the lead")
    found = await reader.pending(1000)
    assert 0 < sum(size_of(row) for _, row in found) <= BATCH_BYTES
    await reader.close()
    async with relaying(kind, servers.addresses.kafka) as (store, _):
        await until_async(lambda: outbox_is_empty(store), what="an empty outbox")
