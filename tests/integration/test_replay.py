"""`saga replay` on real servers: what is rebuilt equals what is live, and a service goes on with it."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
import pytest
from redis import Redis

from chassis.kafka import PARTITIONS
from saga_cli.stack.services import Services
from saga_cli.topology import BY_NAME, SERVICES
from shared_events.catalog import CATALOG
from tests.support.databases import a_new_database, rows
from tests.support.saga import on_servers, servers_of
from tests.support.servers import log_of, running_shop
from tests.support.shop import place_many, settled

ROOT: Final = Path(__file__).parents[2]
CODE: Final = ("chassis", "shared_events", "saga_cli", *(f"{s.name}_svc" for s in SERVICES))
DATABASES: Final = [spec.name for spec in SERVICES if spec.has_database]


@pytest.fixture(scope="module")
def system() -> Iterator[Services]:
    with running_shop() as services:
        yield services


@pytest.fixture(scope="module")
def rested(system: Services) -> tuple[list[str], datetime]:
    """Orders of every kind, and an instant after which some of them were cancelled."""
    orders = asyncio.run(place_many([system.url("order")], 60))
    assert settled(system, orders).violations == []
    before = datetime.now(UTC)
    for order_id in orders[::10]:
        httpx.post(f"{system.url('order')}/orders/{order_id}/cancel").raise_for_status()
    assert settled(system, orders).violations == []
    return orders, before


@pytest.mark.parametrize("name", DATABASES)
def test_a_rebuilt_database_equals_the_live_one(
    system: Services, rested: tuple[list[str], datetime], name: str
) -> None:
    url = a_new_database(system, name, "aside")
    done = on_servers(system, "replay", name, "--into", url, "--copy", "--json")
    assert done.code == 0, done
    assert done.json["orders"] > 0
    rebuilt = {f"{BY_NAME[name].prefix}_DATABASE_URL": url}
    verified = on_servers(system, "verify", name, **rebuilt)
    assert verified.code == 0, verified
    live = system.addresses.database_url(BY_NAME[name])
    for query in (
        "SELECT id, key, kind, convert_from(body, 'utf8')::jsonb::text FROM effects ORDER BY id",
        "SELECT status, count(*) FROM {own} GROUP BY 1 ORDER BY 1",
    ):
        asked = query.format(own=BY_NAME[name].table)
        assert rows(url, asked) == rows(live, asked)


def test_what_is_due_later_is_due_when_it_was(
    system: Services, rested: tuple[list[str], datetime]
) -> None:
    url = a_new_database(system, "shipping", "due")
    assert on_servers(system, "replay", "shipping", "--into", url, "--copy").code == 0
    query = "SELECT id, due_at FROM effects WHERE kind = 'DispatchDue' ORDER BY id"
    was, is_now = (
        dict(rows(system.addresses.database_url(BY_NAME["shipping"]), query)),
        rows(url, query),
    )
    assert is_now
    assert {id_: (due - was[id_]).total_seconds() for id_, due in is_now} == dict.fromkeys(was, 0.0)


def test_the_timeline_tells_what_was_heard_and_said(
    system: Services, rested: tuple[list[str], datetime]
) -> None:
    url = a_new_database(system, "order", "timeline")
    assert on_servers(system, "replay", "order", "--into", url, "--copy").code == 0
    query = "SELECT order_id, at, heard, said FROM timeline ORDER BY order_id, id"
    live = system.addresses.database_url(BY_NAME["order"])
    assert rows(url, query) == rows(live, query)


def test_a_rebuilt_redis_equals_the_live_one(
    system: Services, rested: tuple[list[str], datetime]
) -> None:
    url = f"{system.addresses.redis_url}/9"
    done = on_servers(system, "replay", "loyalty", "--into", url, "--copy", "--json")
    assert done.code == 0, done
    verified = on_servers(system, "verify", "loyalty", LOYALTY_REDIS_URL=url)
    assert verified.code == 0, verified
    again = on_servers(system, "replay", "loyalty", "--into", url, "--copy")
    assert (again.code, "not empty" in again.err) == (2, True), again
    with Redis.from_url(url) as redis:
        redis.flushdb()


def test_a_redis_of_a_part_of_the_log_lacks_what_rests_on_the_other(
    system: Services, rested: tuple[list[str], datetime]
) -> None:
    """Deductions stand in one lane, the awards before them in another."""
    url = f"{system.addresses.redis_url}/9"
    none = ",".join(f"loyalty.forward/{part}=0" for part in range(PARTITIONS))
    done = on_servers(system, "replay", "loyalty", "--into", url, "--until", none, "--json")
    assert done.code == 0, done
    with Redis.from_url(url) as redis:
        keys = list(redis.scan_iter("loyalty:order:*"))
        assert {redis.hget(key, "status") for key in keys} == {b"Rejected"}
        redis.flushdb()
    assert done.json["orders"] == len(keys)


def test_the_past_can_be_looked_at(system: Services, rested: tuple[list[str], datetime]) -> None:
    orders, before = rested
    ids = ", ".join(f"'{order_id}'" for order_id in orders[::10])
    cancelled = f"SELECT status FROM orders WHERE order_id IN ({ids})"  # noqa: S608 - own ids
    url = a_new_database(system, "order", "past")
    done = on_servers(system, "replay", "order", "--into", url, "--until", before.isoformat())
    assert done.code == 0, done
    assert {status for (status,) in rows(url, cancelled)} == {"Confirmed"}
    live = system.addresses.database_url(BY_NAME["order"])
    assert {status for (status,) in rows(live, cancelled)} == {"Cancelled"}
    url = a_new_database(system, "order", "none")
    nothing = ",".join(
        f"{topic}/{part}=0" for topic in CATALOG.lanes_of("order") for part in range(PARTITIONS)
    )
    assert on_servers(system, "replay", "order", "--into", url, "--until", nothing).code == 0
    assert rows(url, "SELECT count(*) FROM orders") == [(0,)]


def test_other_rules_make_another_past_of_the_same_log(
    system: Services, rested: tuple[list[str], datetime], tmp_path: Path
) -> None:
    for name in CODE:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    rules = tmp_path / "payment_svc" / "domain.py"
    text = rules.read_text()
    rules.write_text(
        text.replace("return Declined(reason=reason,", "return Declined(reason=reason.upper(),")
    )
    url = a_new_database(system, "payment", "other")
    assert on_servers(system, "replay", "payment", "--into", url, "--code", str(tmp_path)).code == 0
    reasons = "SELECT DISTINCT detail->>'reason' FROM payments WHERE status = 'Declined'"
    live = system.addresses.database_url(BY_NAME["payment"])
    assert rows(url, reasons) == [(reason.upper(),) for (reason,) in rows(live, reasons)] != []


def test_one_that_is_killed_goes_on(system: Services, rested: tuple[list[str], datetime]) -> None:
    url = a_new_database(system, "payment", "killed")
    words = [sys.executable, "-m", "saga_cli.main", "replay", "payment", "--into", url, "--copy"]
    env = {**os.environ, **servers_of(system), "CHASSIS_CRASH_AT": "rebuilding:5"}
    assert subprocess.run(words, env=env, check=False).returncode == -signal.SIGKILL
    assert rows(url, "SELECT count(folded), count(*) FROM replay_progress") == [
        (PARTITIONS + 5 * 3, PARTITIONS * 4)  # its details first
    ]
    instance = system.start("payment", {"PAYMENT_DATABASE_URL": url})
    try:
        assert instance.process.await_exit(60) == 1  # not on half of its data
        assert "is being rebuilt" in log_of(instance.process)
    finally:
        system.instances.remove(instance)
    resumed = on_servers(system, "replay", "payment", "--into", url, "--copy")
    assert resumed.code == 0, resumed
    assert on_servers(system, "verify", "payment", PAYMENT_DATABASE_URL=url).code == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nobody", "--in-place"], "no service 'nobody'"),
        (["payment"], "--into URL, or --in-place"),
        (["payment", "--in-place"], "give --yes"),
        (["payment", "--in-place", "--yes"], "payment runs"),
        (["payment", "--in-place", "--until", "2026-01-01"], "are for --into"),
        (["payment", "--into", "LIVE", "--copy"], "connected to the database"),
        (["payment", "--into", "NEW", "--until", "yesterday"], "is no instant"),
        (["payment", "--into", "NEW", "--until", "payment.facts/0=x"], "are no offsets"),
        (
            ["payment", "--into", "NEW", "--until", "payment.facts/12=3"],
            "no partition payment.facts/12",
        ),
        (["loyalty", "--in-place", "--yes"], "loyalty runs"),
    ],
)
def test_what_is_refused(
    system: Services, rested: tuple[list[str], datetime], words: list[str], says: str
) -> None:
    given = {
        "LIVE": system.addresses.database_url(BY_NAME["payment"]),
        "NEW": a_new_database(system, "payment", "refused"),
    }
    ended = on_servers(system, "replay", *(given.get(word, word) for word in words))
    assert (ended.code, ended.out, says in ended.err) == (2, "", True), ended
    assert len(ended.err.splitlines()) == 1
