"""`saga verify` on real servers: clean while orders flow, and every spoiled row is found."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import asyncpg
import httpx
import pytest
from redis.asyncio import Redis

from chassis.events import event_id
from chassis.ids import entry_of
from saga_cli.log.kafka import KafkaLog
from saga_cli.log.source import LogPartition, LogRecord, Source, Span
from saga_cli.stack.services import Services
from saga_cli.targets import Targets
from saga_cli.topology import BY_NAME, SERVICES
from saga_cli.verify.comparing import LOG_LACKS
from saga_cli.verify.running import verify_service
from shared_events.catalog import CATALOG
from shared_events.inventory import StockReserved
from tests.support.saga import Ended, on_servers
from tests.support.servers import running_shop
from tests.support.shop import Load, checkout, place_many, settled

pytestmark = pytest.mark.long(80)

ROOT: Final = Path(__file__).parents[2]
CODE: Final = ("chassis", "shared_events", "saga_cli", *(f"{s.name}_svc" for s in SERVICES))


@pytest.fixture(scope="module")
def system() -> Iterator[Services]:
    """A system of this module's own, whose rows its tests may spoil."""
    with running_shop() as services:
        yield services


@pytest.fixture(scope="module")
def rested(system: Services) -> list[str]:
    """Orders of every kind, some cancelled after they were confirmed."""
    orders = asyncio.run(place_many([system.url("order")], 60))
    assert settled(system, orders).violations == []
    for order_id in orders[::10]:
        httpx.post(f"{system.url('order')}/orders/{order_id}/cancel").raise_for_status()
    assert settled(system, orders).violations == []
    return orders


def verify(services: Services, *words: str) -> Ended:
    return on_servers(services, "verify", *words)


def test_it_is_clean_while_orders_flow(system: Services) -> None:
    """Each run compares more than the one before it, and sees events come after its cut."""
    with Load(system.url("order")).running() as load:
        runs = [verify(system, "--json") for _ in range(2)]
    assert [(run.code, run.json["differences"]) for run in runs] == [(0, [])] * len(runs)
    compared = [sum(s["rows"] for s in run.json["services"]) for run in runs]
    newer = [sum(s["newer"] for s in run.json["services"]) for run in runs]
    assert compared == sorted(set(compared))
    assert max(newer) > 0
    assert settled(system, load.acknowledged).violations == []
    complete = verify(system)
    assert complete.code == 0, complete
    assert "All equal." in complete.out


SPOILT: Final = {
    "payment": "UPDATE payments SET detail = detail || '{\"fee_minor\": 7}' WHERE order_id = $1",
    "inventory": "UPDATE stock SET available = available + 1 WHERE sku = 'RETRO-CLOCK' AND $1 <> ''",
    "shipping": "UPDATE delivery_details SET city = 'Elsewhere' WHERE order_id = $1",
    "order": "UPDATE orders SET customer_id = 'not ' || customer_id WHERE order_id = $1",
}
MENDED: Final = {
    "payment": "UPDATE payments SET detail = detail || '{\"fee_minor\": 0}' WHERE order_id = $1",
    "inventory": SPOILT["inventory"].replace("+ 1", "- 1"),
    "shipping": SPOILT["shipping"].replace("Elsewhere", "Here"),
    "order": "UPDATE orders SET customer_id = substr(customer_id, 5) WHERE order_id = $1",
}


def spoil(services: Services, statements: Mapping[str, str], order_id: str, points: int) -> str:
    """Returns the pseudonym of the customer whose points were changed."""
    identified = httpx.put(f"{services.url('order')}/customers/alice").json()
    alice = str(identified["pseudonym"])

    async def run() -> None:
        for name, statement in statements.items():
            url = services.addresses.database_url(BY_NAME[name])
            connection = await asyncpg.connect(url)
            assert await connection.execute(statement, order_id) == "UPDATE 1", name
            await connection.close()
        async with Redis.from_url(f"{services.addresses.redis_url}/0") as redis:
            await redis.hincrby(f"loyalty:customer:{alice}", "points", points)

    asyncio.run(run())
    return alice


def test_every_spoiled_row_is_found_and_nothing_else(system: Services, rested: list[str]) -> None:
    details = {"name": "Zoe", "street": "Street 1", "city": "Here", "email": "zoe@example.com"}
    placed = checkout(system, delivery=details, country="AQ").json()["order_id"]
    good = checkout(system).json()["order_id"]
    assert settled(system, [*rested, placed, good]).violations == []
    assert verify(system).code == 0
    alice = spoil(system, SPOILT, placed, 1)
    spoiled = verify(system, "--json")
    assert spoiled.code == 1
    assert {(d["service"], d["key"], d["what"]) for d in spoiled.json["differences"]} == {
        ("order", placed, "the row differs"),
        ("inventory", "RETRO-CLOCK", "the row differs"),
        ("payment", placed, "the row differs"),
        ("shipping", placed, "delivery details differ: city"),
        ("loyalty", alice, "the row differs"),
    }
    assert "Elsewhere" not in spoiled.out
    spoil(system, MENDED, placed, -1)
    assert verify(system).code == 0


def test_a_timer_that_is_gone_or_one_too_many_is_found(system: Services, rested: list[str]) -> None:
    sold = checkout(system).json()["order_id"]
    assert settled(system, [*rested, sold]).violations == []
    timer, other = f"{sold}:dispatchdue:1", f"{sold}:handover:1"
    renamed(system, "shipping", EFFECT, timer, other)
    outcome = verify(system, "shipping", "--json")
    (found,) = outcome.json["differences"]
    assert (outcome.code, found["key"], found["what"]) == (1, sold, "outstanding effects differ")
    assert (found["live"], found["rebuilt"]) == (other, timer)
    renamed(system, "shipping", EFFECT, other, timer)
    assert verify(system, "shipping").code == 0


def test_a_cause_that_the_inbox_lacks_is_found_and_an_entry_of_the_last_release_is_none(
    system: Services, rested: list[str]
) -> None:
    sold = checkout(system).json()["order_id"]
    assert settled(system, [*rested, sold]).violations == []
    own_id = event_id(sold, CATALOG.by_event[StockReserved].identity, 1)
    entry, unconsumed = entry_of(sold, own_id), uuid4()
    renamed(system, "payment", ENTRY, entry, own_id)
    assert verify(system, "payment").code == 0
    renamed(system, "payment", ENTRY, own_id, unconsumed)
    outcome = verify(system, "payment", "--json")
    (found,) = outcome.json["differences"]
    assert (outcome.code, found["key"], found["rebuilt"]) == (1, sold, str(own_id))
    assert found["what"].startswith("the inbox lacks the cause of payment.")
    renamed(system, "payment", ENTRY, unconsumed, entry)
    assert verify(system, "payment").code == 0


EFFECT: Final = "UPDATE effects SET id = $2 WHERE id = $1"
ENTRY: Final = "UPDATE inbox SET message_id = $2 WHERE message_id = $1"


def renamed(services: Services, name: str, statement: str, was: Any, new: Any) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(services.addresses.database_url(BY_NAME[name]))
        assert await connection.execute(statement, was, new) == "UPDATE 1"
        await connection.close()

    asyncio.run(run())


@dataclass
class Dropping:
    """A log that has lost one record."""

    log: KafkaLog
    lost: tuple[LogPartition, int]

    async def spans(self, topics: Iterable[str]) -> dict[LogPartition, Span]:
        return await self.log.spans(topics)

    async def read(self, spans: Mapping[LogPartition, Span]) -> AsyncIterator[list[LogRecord]]:
        async for batch in self.log.read(spans):
            yield [kept for kept in batch if (kept.place, kept.offset) != self.lost]

    async def offsets_at(
        self, instant: datetime, places: Iterable[LogPartition]
    ) -> Mapping[LogPartition, int]:
        return await self.log.offsets_at(instant, places)


def test_a_record_that_the_log_has_lost_is_found_in_each_topic(
    system: Services, rested: list[str]
) -> None:
    places = Targets(system.addresses.kafka, system.addresses)

    async def without_one(name: str) -> tuple[str, list[tuple[str, str]]]:
        log = KafkaLog(places.kafka)
        record = await newest(log, CATALOG.log_of(name), rested[0])
        lost = LogPartition(record.topic, record.partition), record.offset
        result = await verify_service(Dropping(log, lost), places, name)
        return name, [(d.key, d.what) for d in result.differences if d.what == LOG_LACKS]

    for spec in SERVICES:
        assert asyncio.run(without_one(spec.name)) == (spec.name, [(rested[0], LOG_LACKS)])


async def newest(log: Source, topics: Iterable[str], key: str) -> Any:
    spans = await log.spans(topics)
    found = [kept async for batch in log.read(spans) for kept in batch if kept.subject == key]
    return max(found, key=lambda kept: int(dict(kept.headers)["ce_sequence"] or 0))


def test_the_same_rules_decide_the_same_and_other_code_is_found(
    system: Services, rested: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    same = verify(system, "--decide", "--json")
    assert (same.code, same.json["differences"]) == (0, [])
    decided = {s["service"]: s["decisions"] for s in same.json["services"]}
    assert all(decided[spec.name] >= len(rested) // 5 for spec in SERVICES)
    for name in CODE:
        ignored = shutil.ignore_patterns("__pycache__", "verify")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    rules = tmp_path / "payment_svc" / "domain.py"
    text = rules.read_text()
    rules.write_text(text.replace("provider_fee_bps: int = 140", "provider_fee_bps: int = 240"))
    capfd.readouterr()
    other = verify(system, "payment", "--decide", "--code", str(tmp_path), "--json")
    outcome = json.loads(capfd.readouterr().out)
    assert other.code == 1
    assert {d["what"] for d in outcome["differences"]} == {
        "shipment.cancelled.v1 led to payment.refund_requested.v1"
    }
    assert all("provider_fee_minor" in d["rebuilt"] for d in outcome["differences"])
