"""Somebody writes what they like into the services' topics: it is kept with its reason, and orders go on."""

import asyncio
import itertools
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final

import httpx
import psutil
import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord
from prometheus_client.parser import text_string_to_metric_families
from pydantic_core import from_json, to_json

from chassis import ids
from chassis.events import dead_letters_of
from chassis.kafka import PARTITIONS, partition_of
from chassis.message import Record
from saga_cli.log import reader
from saga_cli.stack.services import Services
from shared_events.shipping import ShipmentCreated
from tests.support.batches import batch, produce, record
from tests.support.callers import headers_of
from tests.support.metrics import sample
from tests.support.records import a_record, an_order, captured
from tests.support.saga import on_servers, operating
from tests.support.servers import running_shop
from tests.support.shop import checkout
from tests.support.waiting import until

ORDERS: Final = 12
POISONED_KEYS: Final = 500
STEPS: Final = 10
"""Events of an order that is confirmed."""
SERIES_MAX: Final = 10
"""So many may begin: an outcome that was not counted before, and the like."""
RSS_MAX: Final = 400 * 1024 * 1024
DEEP: Final = b"[" * 200_000
GIANT: Final = b'{"order":"' + b"x" * 1_000_000
READERS: Final[Mapping[str, Callable[[], Record]]] = {
    "shipping": lambda: a_record(captured()),
    "loyalty": lambda: a_record(ShipmentCreated(order=an_order(), shipment_id="s")),
}
"""Of each kind of store one service, and a good record of a topic that it alone reads."""
Place = tuple[str, int, int]


@dataclass(frozen=True)
class Hostile:
    """A record, and what the reason has to say for which it is parked."""

    record: Record
    reason: str
    is_astray: bool = False


def with_header(good: Record, name: str, raw: bytes) -> Record:
    return replace(good, headers=tuple((n, raw if n == name else v) for n, v in good.headers))


def with_fields(good: Record, **fields: Any) -> Record:
    value = from_json(good.value or b"")
    value["order"] |= fields
    return replace(good, value=to_json(value, inf_nan_mode="constants"))


def hostile(good: Callable[[], Record]) -> Iterator[Hostile]:
    """Each under a key of its own."""
    yield Hostile(replace(good(), value=b"\x00\xff", headers=()), "'ce_type' is missing")
    yield Hostile(replace(good(), value=None), "the value is null")
    yield Hostile(replace(good(), value=None, headers=()), "'ce_type' is missing")
    yield Hostile(replace(good(), value=GIANT), "malformed: ")
    yield Hostile(replace(good(), value=DEEP), "malformed: ")
    yield Hostile(good(), "its key belongs in another partition", is_astray=True)
    yield Hostile(with_header(good(), "ce_source", b"/nobody"), "ce_source is not the owner")
    yield Hostile(
        with_header(good(), "ce_type", b"order.placed.v1"), "does not belong on this topic"
    )
    yield Hostile(
        with_header(good(), "ce_type", b"product.priced.v1"), "does not belong on this topic"
    )
    for name in ("payment.captured", "shipment.created"):
        newer = with_header(good(), "ce_type", f"{name}.v99".encode())
        if name in dict(good().headers)["ce_type"].decode():  # type: ignore[union-attr]  # it is there
            yield Hostile(newer, "unknown version")
    yield Hostile(replace(good(), key=b"k" * 10_240), "the key is not the subject")
    yield Hostile(replace(good(), key=None), "the key is not the subject")
    yield Hostile(replace(good(), key=b"\xff\xfe"), "the key is not the subject")
    yield Hostile(with_fields(good(), total_minor=2**63), "total_minor")
    yield Hostile(with_fields(good(), total_minor=float("nan")), "malformed: ")
    yield Hostile(with_fields(good(), placed_at="0001-01-01T00:00:00Z"), "placed_at")
    yield Hostile(with_fields(good(), deadline="9999-12-31T23:59:59Z"), "deadline")
    surrogates = (good().value or b"").replace(b'"alice"', b'"\\ud800"')
    yield Hostile(replace(good(), value=surrogates), "malformed: ")
    twice = good()
    yield Hostile(replace(twice, headers=(*twice.headers, ("ce_id", b"x"))), "there twice")


@pytest.fixture(scope="module")
def shop() -> Iterator[Services]:
    with running_shop() as found:
        yield found


async def send(services: Services, found: list[Hostile]) -> dict[Place, str]:
    """By the place that each got, what its reason has to say."""
    producer = AIOKafkaProducer(
        **services.addresses.kafka.options(), max_request_size=4 * 1024 * 1024
    )
    await producer.start()
    sent = []
    for each in found:
        key = each.record.key
        home = partition_of(key or b"", tuple(range(PARTITIONS)))
        partition = (home + each.is_astray) % PARTITIONS
        what = (each.record.topic, each.record.value, key, partition)
        sent.append(await producer.send(*what, headers=list(each.record.headers)))
    places = await asyncio.gather(*sent)
    await producer.stop()
    return {
        (p.topic, p.partition, p.offset): each.reason for p, each in zip(places, found, strict=True)
    }


def letters(services: Services, name: str) -> dict[Place, str]:
    """Why each was parked, by the place of the original."""
    topic = dead_letters_of(name)
    found = asyncio.run(reader.records(services.addresses.kafka, [topic]))
    return {_original(letter): dict(letter.headers)["dlq_error"].decode() for letter in found}


def _original(letter: ConsumerRecord[Any, Any]) -> Place:
    of = dict(letter.headers)
    return of["dlq_topic"].decode(), int(of["dlq_partition"]), int(of["dlq_offset"])


def series(services: Services, name: str) -> set[tuple[str, Any]]:
    """The names and labels of what a service measures."""
    text = httpx.get(f"{services.url(name)}/metrics", timeout=20).text
    samples = (s for family in text_string_to_metric_families(text) for s in family.samples)
    return {(s.name, tuple(sorted(s.labels.items()))) for s in samples if "_created" not in s.name}


def parked(services: Services, name: str) -> float:
    (instance,) = services.of(name)
    return sample(instance, "saga_parked_messages") or 0.0


def all_confirmed(services: Services) -> list[str]:
    """The ids of orders that are placed now, all at once."""
    with ThreadPoolExecutor(ORDERS) as pool:
        answers = list(pool.map(lambda _: checkout(services, 60).json(), range(ORDERS)))
    assert [answer["state"] for answer in answers] == ["CONFIRMED"] * ORDERS
    return [answer["order_id"] for answer in answers]


def discard_all(services: Services, name: str, keys: set[str]) -> None:
    token = headers_of()
    with httpx.Client(base_url=services.url(name), headers=token, timeout=60) as http:
        for key in keys:
            body = {"key": key, "reason": "forged"}
            http.post("/ops/dead-letters/discard", json=body).raise_for_status()


@pytest.mark.parametrize("name", READERS)
def test_orders_go_on_and_all_of_it_is_parked_with_its_reason(shop: Services, name: str) -> None:
    """500 keys are poisoned at once as well; what a process measures and holds does not grow with them."""
    all_confirmed(shop)
    series(shop, name)  # to be asked has a series too
    measured, good = series(shop, name), READERS[name]
    poisoned = [Hostile(replace(good(), value=b"{"), "malformed: ") for _ in range(POISONED_KEYS)]
    some = list(itertools.chain(hostile(good), poisoned))
    expected = asyncio.run(send(shop, some))
    topic, cluster = some[0].record.topic, shop.addresses.kafka
    odd = record(0, b"one") + record(1, b"two", b"k", ((b"\xff\xfe", b"v"),))
    asyncio.run(produce(cluster, topic, 0, batch(odd, 2)))
    all_confirmed(shop)

    until(lambda: len(letters(shop, name)) == len(expected) + 2, 60, "a letter of each")
    found = letters(shop, name)
    wrong = {p: (found.get(p), why) for p, why in expected.items() if why not in found.get(p, "")}
    assert wrong == {}
    subjects = {"", "k", *(each.record.subject for each in some)}
    until(lambda: parked(shop, name) >= len(subjects), 60, "what is parked in the metrics")
    grown = series(shop, name) - measured
    assert len(grown) <= SERIES_MAX
    assert not any(key in str(grown) for key in subjects - {"", "k"})
    assert psutil.Process(shop.of(name)[0].process.pid).memory_info().rss < RSS_MAX

    heads = operating(shop, "dead-letters", "list", name, "--json").json
    keys = {head["key"] for head in heads}
    assert keys == subjects
    again = operating(shop, "dead-letters", "redrive", name, poisoned[0].record.subject)
    assert (again.code, "stays parked" in again.out) == (1, True)
    while keys:
        discard_all(shop, name, keys)
        keys = {h["key"] for h in operating(shop, "dead-letters", "list", name, "--json").json}
    until(lambda: parked(shop, name) == 0, 60, "nothing parked")


def test_what_is_written_again_under_new_ids_changes_nothing(shop: Services) -> None:
    """All events of orders, into the very topics, as if each had been decided once more."""
    placed = all_confirmed(shop)

    def books() -> list[Any]:
        points = httpx.get(f"{shop.url('loyalty')}/customers/alice/points").json()
        stock = httpx.get(f"{shop.url('inventory')}/stock/RETRO-CLOCK").json()
        paid = [httpx.get(f"{shop.url('payment')}/payments/{id_}").json() for id_ in placed]
        return [points, stock, *paid]

    def versions() -> list[Any]:
        asked = [(name, id_) for name in ("order", *READERS) for id_ in placed]
        urls = (f"{shop.url(name)}/ops/orders?key={id_}" for name, id_ in asked)
        return [httpx.get(url).json()["state"] for url in urls]

    until(lambda: on_servers(shop, "reconcile").code == 0, 60, "all settled")

    def theirs() -> list[Any]:
        kept = asyncio.run(reader.records(shop.addresses.kafka))
        found = [r for r in kept if r.key and r.key.decode("utf-8", "replace") in placed]
        return found if len(found) >= STEPS * ORDERS else []

    found = until(theirs, 60, "all events of the orders")
    before = books(), versions()
    copies = []
    for r in found:
        headers = tuple((n, ids.new_id().encode() if n == "ce_id" else v) for n, v in r.headers)
        copies.append(Hostile(Record(r.topic, r.partition, 0, r.key, r.value, headers), ""))
    asyncio.run(send(shop, copies))
    all_confirmed(shop)  # after them in the same partitions
    until(lambda: on_servers(shop, "reconcile").code == 0, 60, "all books agree")
    assert [parked(shop, name) for name in READERS] == [0.0, 0.0]
    after = books(), versions()
    assert after[0][2:] == before[0][2:]
    assert after[1] == before[1]
