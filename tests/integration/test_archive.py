"""The archive and what reads the past, on real servers: killed, cut, and still one log."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from chassis.kafka import admin_client
from chassis.kafka.clients import KEEP_FOR_EVER
from saga_cli.archive.copying import TOPICS
from saga_cli.archive.files import Archive
from saga_cli.archive.retention import facts_of
from saga_cli.log.kafka import KafkaLog
from saga_cli.log.reader import TOPICS as EVENTS
from saga_cli.stack.services import Services
from saga_cli.targets import Targets
from saga_cli.topology import BY_NAME
from shared_events.order import OrderPlaced
from tests.support.databases import a_new_database
from tests.support.records import a_record, an_order
from tests.support.saga import changed, on_servers, parked, sent, servers_of
from tests.support.servers import running_shop
from tests.support.shop import checkout, place_many, settled
from tests.support.waiting import until

pytestmark = pytest.mark.long(50)

ORDERS: Final = 60
DAY_MS: Final = str(24 * 3600 * 1000)
FORWARD: Final = ["order.placed.v1", "stock.reserved.v1", "payment.captured.v1"]


@pytest.fixture(scope="module")
def system() -> Iterator[Services]:
    """A system of this module's own, whose log its tests cut."""
    with running_shop() as services:
        yield services


@pytest.fixture(scope="module")
def orders(system: Services) -> list[str]:
    """Orders of every kind, some cancelled after they were confirmed."""
    placed = asyncio.run(place_many([system.url("order")], ORDERS))
    assert settled(system, placed).violations == []
    for order_id in placed[::10]:
        httpx.post(f"{system.url('order')}/orders/{order_id}/cancel").raise_for_status()
    assert settled(system, placed).violations == []
    return placed


@contextmanager
def running(services: Services, *words: str, out: Any = subprocess.DEVNULL) -> Iterator[Any]:
    command = [sys.executable, "-m", "saga_cli.main", *words]
    process = subprocess.Popen(
        command, env={**os.environ, **servers_of(services)}, stdout=out, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def ends(services: Services) -> Mapping[Any, int]:
    source = KafkaLog(services.addresses.kafka)
    return {place: span.end for place, span in asyncio.run(source.spans(TOPICS)).items()}


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*.parquet")}


def test_kills_leave_neither_a_hole_nor_a_double(
    system: Services, orders: list[str], tmp_path: Path
) -> None:
    """It is killed as soon as it has written something more, again and again."""
    follow = ("archive", str(tmp_path), "--follow", "--every", "0.1")
    for _ in range(5):
        before = files(tmp_path)
        with running(system, *follow) as process:
            asyncio.run(place_many([system.url("order")], 3))
            until(lambda: files(tmp_path) - before)  # noqa: B023 - it is called here
            process.kill()
    assert settled(system, orders).violations == []
    with running(system, *follow) as process:
        reached = sum(ends(system).values())
        until(lambda: _archived(tmp_path) == reached)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    result = on_servers(system, "archive", str(tmp_path), "--verify")
    assert result.code == 0, result
    found = Archive.at(str(tmp_path)).pieces()
    numbers = f"{reached} records in {sum(map(len, found.values()))} files"
    assert " ".join(result.out.split()) == f"{numbers}; {reached} of them compared with Kafka"
    again = on_servers(system, "archive", str(tmp_path))
    assert (again.code, again.out) == (0, f"0 records in 0 files to {tmp_path}\n")
    assert not any("delivery-details" in str(path) for path in tmp_path.rglob("*"))


def _archived(folder: Path) -> int:
    pieces = Archive.at(str(folder)).pieces()
    return sum(p.span.end - p.span.start for all_ in pieces.values() for p in all_)


def test_a_timeline_is_told_from_the_log_alone(system: Services, orders: list[str]) -> None:
    cancelled = orders[0]
    result = on_servers(system, "timeline", cancelled, "--json")
    assert result.code == 0, result
    types = [event["type"] for event in result.json]
    assert [type_ for type_ in types if type_ in FORWARD] == FORWARD
    assert types[-1] == "order.cancelled.v1"
    assert {event["service"] for event in result.json} == set(BY_NAME)
    assert [event["number"] for event in result.json if event["cause"] is None] == [1]
    until_then = next(e["appended"] for e in result.json if e["type"] == "order.confirmed.v1")
    before = on_servers(system, "timeline", cancelled, "--json", "--until", until_then)
    assert "order.confirmed.v1" not in {event["type"] for event in before.json}
    assert len(before.json) >= 5
    diagram = on_servers(system, "timeline", cancelled, "--mermaid")
    assert "    loyalty->>shipping: points.deducted.v1" in diagram.out
    assert "payment.captured.v1" in on_servers(system, "timeline", cancelled).out
    unknown = on_servers(system, "timeline", "01a20da2-66fa-73da-9a87-6c81c858398e")
    assert (unknown.code, unknown.out, len(unknown.err.splitlines())) == (1, "", 1)


def test_events_are_found_and_followed(system: Services, orders: list[str], tmp_path: Path) -> None:
    checkout(system)  # after all that happened to the others
    placed = on_servers(system, "events", "--type", "order.placed", "--json", "--limit", "100000")
    found = [json.loads(line) for line in placed.out.splitlines()]
    assert {event["subject"] for event in found} >= set(orders)
    assert [e["appended"] for e in found] == sorted(e["appended"] for e in found)
    late = on_servers(system, "events", "--order", orders[0], "--since", found[-1]["appended"])
    assert (late.code, late.out) == (0, "")
    log = tmp_path / "events"
    with (
        log.open("w") as out,
        running(system, "events", "-f", "--limit", "1", "--json", out=out) as process,
    ):
        until(log.read_text)
        order_id = checkout(system).json()["order_id"]
        until(lambda: _answers(log.read_text(), order_id, "order.confirmed.v1"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    followed = [json.loads(line) for line in log.read_text().splitlines()][1:]
    expected = on_servers(system, "timeline", order_id, "--json").json
    assert {e["id"] for e in followed} <= {e["id"] for e in expected}
    assert "order.placed.v1" in {e["type"] for e in followed}


def _answers(written: str, order_id: str, wire_type: str) -> bool:
    """Of this order: the newest event that was there before may be another's of the same type."""
    return any(order_id in line and wire_type in line for line in written.splitlines())


def test_the_report_counts_what_was_placed(
    system: Services, orders: list[str], tmp_path: Path
) -> None:
    assert settled(system, orders).violations == []
    assert on_servers(system, "archive", str(tmp_path)).code == 0
    result = on_servers(system, "report", "--archive", str(tmp_path), "--json").json
    placed = on_servers(system, "events", "--type", "order.placed", "--json", "--limit", "100000")
    counts: dict[str, int] = {}
    for row in result["steps"]:
        counts[row["step"]] = counts.get(row["step"], 0) + row["orders"]
    assert counts["order.placed"] == len(placed.out.splitlines())
    assert sum(row["orders"] for row in result["reasons"]) == counts["order.cancelled"]
    assert sum(row["captures"] for row in result["money"]) == counts["payment.captured"]
    assert all(row["p50_ms"] <= row["p99_ms"] for row in result["steps"])
    assert {row["currency"] for row in result["money"]} == {"EUR"}


def configured(services: Services, topic: str, **settings: str) -> None:
    async def alter() -> None:
        given = KEEP_FOR_EVER | {name.replace("_", "."): s for name, s in settings.items()}
        async with admin_client(services.addresses.kafka) as admin:
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, given)])

    asyncio.run(alter())


def refusals(services: Services, *words: str) -> list[str]:
    result = on_servers(services, "retention", "--json", *words)
    assert result.code == (1 if result.json["refusals"] else 0), result
    found: list[str] = result.json["refusals"]
    return found


def test_settings_in_which_a_hole_could_open_are_refused(
    system: Services, orders: list[str], tmp_path: Path
) -> None:
    assert refusals(system) == []
    shown = on_servers(system, "retention")
    assert (shown.code, "No hole can open." in shown.out) == (0, True)
    with_archive = ("--archive", str(tmp_path))
    assert on_servers(system, "archive", str(tmp_path)).code == 0
    try:
        configured(system, "payment.forward", retention_ms=DAY_MS)
        assert refusals(system) == ["payment.forward is cut, and there is no archive"]
        assert refusals(system, *with_archive) == []
        configured(system, "payment.forward", retention_bytes="1000000000")
        (result,) = refusals(system, *with_archive)
        assert result.startswith("payment.forward keeps 1000000000 bytes")
    finally:
        configured(system, "payment.forward")
    assert refusals(system) == []


def test_what_the_guard_asks_is_what_is_so(system: Services, orders: list[str]) -> None:
    assert settled(system, orders).violations == []
    places = Targets(system.addresses.kafka, system.addresses)

    def look() -> Any:
        facts = asyncio.run(facts_of(places, None))
        read = ((place, at) for offsets in facts.read.values() for place, at in offsets.items())
        return facts if all(at == facts.spans[place].end for place, at in read) else None

    facts = until(look)
    assert {service for service, offsets in facts.read.items() if offsets} == set(BY_NAME)
    assert {topic for topic, kept in facts.topics.items() if kept.ends} == set()
    assert facts.topics["order.delivery-details"].compacted


def cut(services: Services) -> None:
    """Delete all records that there are now, as a retention would."""
    reached = ends(services)

    async def delete() -> None:
        asked = {
            TopicPartition(*place): RecordsToDelete(before_offset=end)
            for place, end in reached.items()
            if end and place.topic in EVENTS
        }
        async with admin_client(services.addresses.kafka) as admin:
            await admin.delete_records(asked)

    asyncio.run(delete())


def test_a_log_that_was_cut_is_whole_with_its_archive(
    system: Services, orders: list[str], tmp_path: Path
) -> None:
    """From here on Kafka has lost what came before."""
    assert settled(system, orders).violations == []
    archive, before = (
        ("--archive", str(tmp_path)),
        on_servers(system, "timeline", orders[0], "--json"),
    )
    assert on_servers(system, "archive", str(tmp_path)).code == 0
    cut(system)
    later = asyncio.run(place_many([system.url("order")], 10))
    assert settled_in_log(system, later)
    without = on_servers(system, "verify")
    assert without.code == 2
    assert without.err.startswith("saga: ")
    assert " begins at " in without.err
    assert len(without.err.splitlines()) == 1
    complete = on_servers(system, "verify", *archive, "--json")
    assert (complete.code, complete.json["differences"]) == (0, [])
    assert {s["service"]: s["orders"] for s in complete.json["services"]}["order"] >= ORDERS + 10
    assert on_servers(system, "verify", "payment", "--decide", *archive).code == 0
    rebuilt = a_new_database(system, "payment", "archived")
    words = ("replay", "payment", "--into", rebuilt, "--copy")
    assert "begins at" in on_servers(system, *words).err
    rebuilt = a_new_database(system, "payment", "archived")
    assert on_servers(system, *words, *archive).code == 0
    assert on_servers(system, "verify", "payment", *archive, PAYMENT_DATABASE_URL=rebuilt).code == 0
    assert on_servers(system, "timeline", orders[0]).code == 1
    assert on_servers(system, "timeline", orders[0], "--json", *archive).json == before.json
    assert on_servers(system, "timeline", later[0], *archive).code == 0
    assert any("were cut and not archived" in line for line in refusals(system))
    assert on_servers(system, "archive", str(tmp_path)).code == 0
    assert refusals(system, *archive) == []
    assert on_servers(system, "archive", str(tmp_path), "--verify").code == 0


def settled_in_log(services: Services, orders: list[str]) -> bool:
    """The books can't be compared any more: their judge reads the whole log."""

    def look() -> bool:
        url = services.url("order")
        states = [httpx.get(f"{url}/orders/{order}").json()["state"] for order in orders]
        return set(states) <= {"CONFIRMED", "CANCELLED"}

    found: bool = until(look)
    return found


def test_a_dead_letter_that_is_older_than_its_topic_keeps_is_told(
    system: Services, orders: list[str], tmp_path: Path
) -> None:
    bad = changed(a_record(OrderPlaced(order=an_order())), value=b"rubbish", ce_source=b"/nobody")
    sent(system, bad)
    parked(system, "inventory", bad.subject)
    url = system.addresses.database_url(BY_NAME["inventory"])

    async def execute(statement: str) -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(statement)
        await connection.close()

    assert on_servers(system, "archive", str(tmp_path)).code == 0
    try:
        configured(system, "order.forward", retention_ms=DAY_MS)
        assert not any("parked" in line for line in refusals(system, "--archive", str(tmp_path)))
        asyncio.run(execute("UPDATE parked SET parked_at = parked_at - interval '2 days'"))
        found = refusals(system, "--archive", str(tmp_path))
        (result,) = (line for line in found if "parked" in line)
        assert result.startswith("inventory has parked 1 of order.forward, the oldest for 2 days")
    finally:
        configured(system, "order.forward")
        asyncio.run(execute("DELETE FROM parked"))
