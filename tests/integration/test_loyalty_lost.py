"""Loyalty's Redis loses its data, by a crash or a wrong command, while orders flow."""

import asyncio
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from redis import Redis

from guarantees.judge import Books
from saga_cli.log.reader import read
from saga_cli.stack.seed import SUSPENDED_CUSTOMER, set_standing
from saga_cli.stack.servers import Servers
from saga_cli.stack.services import Instance, Services
from saga_cli.verify.reconcile import read_books
from tests.support.metrics import sample
from tests.support.problems import problem_of
from tests.support.servers import fast_paths, log_of, private_stack, start_each
from tests.support.shop import ANSWERS_TO_CANCEL, Load, answered, place_many, settled
from tests.support.waiting import until

pytestmark = pytest.mark.long(200)

System = tuple[Services, Servers]
QUICK = {"LOYALTY_SEND_TIMEOUT_S": "3"}
"""A rebuild waits as long for what was sent before it."""


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    """Two instances of loyalty over a Redis that its tests may break."""
    with private_stack() as (services, servers):
        services.start("loyalty", fast_paths("loyalty", "none") | QUICK)
        start_each(services, variables=QUICK)
        yield services, servers


async def _place_and_cancel(services: Services, count: int) -> list[str]:
    """Mixed orders; every seventh is cancelled, wherever it is by then."""
    url = services.url("order")
    placed: list[str] = []
    for part in range(0, count, 60):
        placed += await place_many([url], min(60, count - part), at_once=10)
        async with httpx.AsyncClient(timeout=15) as client:
            for order_id in placed[part::7]:
                await answered(client, f"{url}/orders/{order_id}/cancel", ANSWERS_TO_CANCEL)
    return placed


def _under_load(services: Services, count: int, break_it: Callable[[], None]) -> list[str]:
    """Break something once loyalty has got to work on the orders; returns their ids."""
    before = _awards(services)
    with ThreadPoolExecutor(1) as pool:
        placing: Future[list[str]] = pool.submit(asyncio.run, _place_and_cancel(services, count))
        until(lambda: _awards(services) >= before + 5, 90, "points")
        break_it()
        return placing.result()


def _awards(services: Services) -> int:
    logged = asyncio.run(read(services.addresses.kafka, ["loyalty.forward"]))
    return sum(entry.envelope.type == "points.awarded.v1" for entry in logged)


def _empty(servers: Servers) -> None:
    """SIGKILL, and its disk is gone."""
    servers.redis.kill()
    data = servers.folder / "redis"
    shutil.rmtree(data)
    data.mkdir()
    servers.restart(servers.redis)


def _flush(servers: Servers) -> None:
    with Redis.from_url(servers.addresses.redis_url) as redis:
        redis.flushall()


def _lag(services: Services) -> float:
    alive = [each for each in services.of("loyalty") if each.process.is_alive()]
    return sum(sample(each, "saga_consumer_lag_records") or 0 for each in alive)


def _rebuilds(services: Services) -> int:
    logs = (log_of(instance.process) for instance in services.of("loyalty"))
    return sum(text.count("rebuild_finished") for text in logs)


def _books(services: Services) -> Books:
    return asyncio.run(read_books(services.addresses.store_of))


def _assert_points_are_what_the_orders_say(services: Services) -> None:
    """Judged by the order service's own book, which no rebuild touches."""
    books = _books(services)
    sums: dict[str, int] = {}
    for row in books.rows["order"].values():
        if row.status == "Confirmed":
            order = row.detail["order"]
            points = order["total_minor"] // 100
            sums[order["customer_id"]] = sums.get(order["customer_id"], 0) + points
    assert {c: points for c, points in books.customers.items() if points} == sums
    suspended = {"customer_id": SUSPENDED_CUSTOMER, "points": 0, "suspended": True}
    _await_standing(services, SUSPENDED_CUSTOMER, suspended)


def _await_standing(services: Services, customer: str, standing: Mapping[str, Any]) -> None:
    """Each instance says so once it has read again whose pseudonym it is."""
    urls = [each.url for each in services.of("loyalty") if each.process.is_alive()]

    def all_agree() -> bool:
        answers = [httpx.get(f"{url}/customers/{customer}/points", timeout=60) for url in urls]
        return all(standing.items() <= answer.json().items() for answer in answers)

    until(all_agree, 30, f"the standing of {customer} at each instance")


@pytest.mark.parametrize("break_it", [_empty, _flush], ids=["killed and emptied", "flushed"])
def test_a_redis_that_lost_everything_under_load_is_rebuilt_and_no_point_is_lost_or_doubled(
    system: System, break_it: Callable[[Servers], None]
) -> None:
    services, servers = system
    rebuilds = _rebuilds(services)
    acknowledged = _under_load(services, 60, lambda: break_it(servers))
    services.await_ready(i for i in services.instances if i.process.is_alive())
    assert settled(services, acknowledged).violations == []
    assert _rebuilds(services) == rebuilds + 1
    _assert_points_are_what_the_orders_say(services)


def test_the_rebuilt_state_is_the_live_state_order_by_order(system: System) -> None:
    services, servers = system
    acknowledged = asyncio.run(_place_and_cancel(services, 60))
    assert settled(services, acknowledged).violations == []
    before, logged = _books(services), _awards(services)
    _flush(servers)
    answer = _while_it_is_away(services)
    assert problem_of(answer) == (503, "unavailable")
    assert answer.headers["Retry-After"] == "1"
    services.await_ready(i for i in services.instances if i.process.is_alive())
    assert settled(services, acknowledged).violations == []
    after = _books(services)
    assert (after.rows["loyalty"], after.customers) == (before.rows["loyalty"], before.customers)
    assert _awards(services) == logged, "what was read again led to a new award"


def _while_it_is_away(services: Services) -> httpx.Response:
    """The first answers on points must be no zeros of a Redis that has forgotten them."""
    url = services.url("loyalty")
    answer = httpx.get(f"{url}/customers/alice/points", timeout=10)
    ready = httpx.get(f"{url}/health/ready", timeout=10)
    assert problem_of(ready) == (503, "not_ready")
    assert "Redis" in ready.json()["detail"]
    command = {"suspended": True}
    outcome = httpx.put(f"{url}/customers/zoe/standing", json=command, timeout=10)
    assert problem_of(outcome) == (503, "unavailable")
    return answer


def test_a_rebuild_that_is_killed_half_way_is_started_over(system: System) -> None:
    services, servers = system
    for instance in services.of("loyalty"):
        instance.process.stop()
    fragile = services.start("loyalty", {"CHASSIS_CRASH_AT": "rebuilding:2", **QUICK})
    services.await_ready([fragile])

    def break_it() -> None:
        _flush(servers)
        until(lambda: not fragile.process.is_alive(), 90, "its death in the rebuild")
        assert fragile.process.exit_code() == -9
        with Redis.from_url(servers.addresses.redis_url) as redis:
            assert redis.exists("loyalty:epoch") == 0
            assert next(redis.scan_iter("loyalty:order:*"), None), "nothing was written yet"
        _start_again(services, fragile)

    acknowledged = _under_load(services, 60, break_it)
    assert settled(services, acknowledged).violations == []
    _assert_points_are_what_the_orders_say(services)


def _start_again(services: Services, instance: Instance) -> None:
    """As it was, without the plan to die, and with a second instance."""
    env = {k: v for k, v in instance.process.env.items() if k != "CHASSIS_CRASH_AT"}
    instance.process.env = env
    instance.process.start()
    services.await_ready([instance, services.start("loyalty", QUICK)])


def test_a_redis_that_is_away_holds_a_hundred_orders_up_and_loses_none(system: System) -> None:
    services, servers = system
    rebuilds = _rebuilds(services)

    before = _awards(services)
    with Load(services.url("order"), cancels=True, at_once=20).running() as load:
        until(lambda: _awards(services) >= before + 5, 90, "points")
        servers.redis.kill()
        until(lambda: _lag(services) >= 100, 90, "events that wait for loyalty")
        servers.restart(servers.redis)
    assert settled(services, load.acknowledged).violations == []
    assert _rebuilds(services) == rebuilds, "its data were there"
    _assert_points_are_what_the_orders_say(services)


@pytest.mark.parametrize("part", [0.0, 0.37, 0.8], ids=lambda part: f"cut at {part}")
def test_a_redis_that_was_set_back_does_not_decide_again_what_was_published(
    system: System, part: float
) -> None:
    """Its file is cut, at a byte like any other, somewhere in what it has long acted on."""
    services, servers = system
    file = next((servers.folder / "redis" / "appendonlydir").glob("*.incr.aof"))
    start = file.stat().st_size
    acknowledged = asyncio.run(_place_and_cancel(services, 60))
    with httpx.Client(timeout=10) as client:
        set_standing(client, services.url, f"zed-{part}", suspended=True)
    assert settled(services, acknowledged).violations == []
    before, logged, rebuilds = _books(services), _awards(services), _rebuilds(services)
    servers.redis.kill()
    # the last event, all or nothing with its state: bookkeeping follows for as long as Redis runs
    end = file.read_bytes().rfind(b"XADD\r\n$14\r\nloyalty:outbox\r\n")
    assert end > start
    with file.open("r+b") as aof:
        aof.truncate(start + int((end - start) * part))
    servers.restart(servers.redis)
    until(lambda: _rebuilds(services) == rebuilds + 1, 90, "another rebuild")
    services.await_ready(i for i in services.instances if i.process.is_alive())
    assert settled(services, acknowledged).violations == []
    after = _books(services)
    assert (after.rows["loyalty"], after.customers) == (before.rows["loyalty"], before.customers)
    assert _awards(services) == logged, "what was read again led to a new award"
    _await_standing(services, f"zed-{part}", {"suspended": True})
