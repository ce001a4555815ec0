"""What a simulated Redis does when it fails, and what its client makes of it."""

import asyncio
from copy import deepcopy
from random import Random
from typing import Any

import pytest
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import OutOfMemoryError, ResponseError
from redis.exceptions import TimeoutError as LateError

from chassis.errors import StoreLostError, TransientError
from simulation.redis_client import RedisClients, SimulatedRedis
from simulation.redis_data import Stream
from simulation.redis_server import RedisServer
from tests.integration.test_simulated_redis import a_command
from tests.simulation.loyalty import Loyalty, VirtualTime

ADD = "return redis.call('RPUSH', KEYS[1], ARGV[1])"


@pytest.fixture
def server() -> RedisServer:
    return RedisServer()


@pytest.fixture
def client(server: RedisServer) -> SimulatedRedis:
    return RedisClients(server).from_url("redis://simulated", socket_timeout=10)


def _state(server: RedisServer) -> Any:
    values = server.data.values
    lasts = {key: value.last for key, value in values.items() if isinstance(value, Stream)}
    rows = {k: list(v.items()) for k, v in values.items() if isinstance(v, Stream)}
    return deepcopy((values, server.data.ends_ms, lasts, rows))


async def test_set_back_it_is_what_it_was_after_each_earlier_write(
    server: RedisServer, client: SimulatedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    VirtualTime().replace(monkeypatch)
    choice = Random(1)  # noqa: S311 - a test's choice
    states = [_state(server)]
    while len(states) < 500:
        pipe = client.pipeline(transaction=False)
        pipe.eval("return redis.call(unpack(ARGV))", 0, *a_command(choice))
        await pipe.execute(raise_on_error=False)
        if len(server.log) == len(states):
            states.append(_state(server))
    server.flush()
    assert server.data.values == {}
    for state in reversed(states):
        server.restart(lost_writes=1)
        assert _state(server) == state


async def test_more_than_it_remembers_is_not_lost_by_half(server: RedisServer) -> None:
    with pytest.raises(ValueError, match="only the last 0"):
        server.restart(lost_writes=1)


async def test_away_it_refuses_and_keeps_its_data(
    server: RedisServer, client: SimulatedRedis
) -> None:
    await client.eval(ADD, 1, "list", "a")
    run, server.down = server.run_id, True
    with pytest.raises(LostError):
        await client.eval(ADD, 1, "list", "b")
    server.down = False
    assert await client.eval(ADD, 1, "list", "c") == 2
    assert server.run_id == run
    server.restart()
    assert await client.eval(ADD, 1, "list", "d") == 3
    assert server.run_id != run


async def test_a_request_may_be_lost_before_its_effect_and_a_reply_after_it(
    server: RedisServer, client: SimulatedRedis
) -> None:
    async def destroy(name: str) -> None:
        raise ConnectionResetError(name)

    server.request = destroy
    with pytest.raises(LostError, match="CONNECT"):
        await client.eval(ADD, 1, "list", "a")
    server.request, server.reply = None, destroy
    with pytest.raises(LostError, match="EVAL"):
        await client.eval(ADD, 1, "list", "b")
    server.reply = None
    assert await client.eval(ADD, 1, "list", "c") == 2


@pytest.mark.parametrize(("hook", "kept"), [("request", []), ("reply", [b"a"])])
async def test_a_restart_meanwhile_breaks_the_connection(
    server: RedisServer, client: SimulatedRedis, hook: str, kept: list[bytes]
) -> None:
    async def restart(name: str) -> None:
        if name == "EVAL":
            server.restart()

    setattr(server, hook, restart)
    with pytest.raises(LostError):
        await client.eval(ADD, 1, "list", "a")
    assert server.data.values.get(b"list", []) == kept


async def test_a_pipeline_may_break_in_the_middle(
    server: RedisServer, client: SimulatedRedis
) -> None:
    pipe = client.pipeline(transaction=False)
    for entry in "abc":
        pipe.eval(ADD, 1, "list", entry)
    server.cut = lambda commands: commands - 1
    with pytest.raises(LostError):
        await pipe.execute()
    assert server.data.values[b"list"] == [b"a", b"b"]


async def test_who_waits_too_long_is_told_and_takes_another_connection(
    server: RedisServer,
) -> None:
    client = RedisClients(server).from_url("redis://simulated", socket_timeout=0.001)

    async def hang(_: str) -> None:
        await asyncio.Event().wait()

    server.reply = hang
    with pytest.raises(LateError):
        await client.eval(ADD, 1, "list", "a")
    server.reply = None
    assert await client.eval(ADD, 1, "list", "b") == 2


async def test_without_memory_it_asks_at_the_first_write_of_a_script_only(
    server: RedisServer, client: SimulatedRedis
) -> None:
    server.full = True
    for refused in (ADD, "#!lua flags=no-cluster\nreturn 1"):
        with pytest.raises(OutOfMemoryError):
            await client.eval(refused, 1, "list", "a")
    assert await client.eval("redis.call('DEL', KEYS[1]) " + ADD, 1, "list", "a") == 1


async def test_a_script_knows_no_time_and_no_chance(client: SimulatedRedis) -> None:
    for name in ("os", "io", "math", "python", "require"):
        with pytest.raises(ResponseError, match=f"nonexistent global variable {name}"):
            await client.eval(f"return {name}", 0)


async def test_a_store_notices_another_run_at_its_first_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loyalty = Loyalty()
    loyalty.replace(monkeypatch)
    store = await loyalty.connect()
    loyalty.redis.down = True
    with pytest.raises(TransientError, match="Connection closed"):
        await store.positions()
    loyalty.redis.restart()
    with pytest.raises(StoreLostError, match="restarted"):
        await store.positions()
    await store.prepare(asyncio.Event())
    assert await store.positions() == {}


async def test_a_replica_takes_no_write_and_its_data_are_looked_at_when_it_is_primary_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As after a fail-over and back: the run is the same, but its data may have been another's."""
    loyalty = Loyalty()
    loyalty.replace(monkeypatch)
    store = await loyalty.connect()
    await store.reached({("shipping.forward", 0): 5})
    loyalty.redis.change_part()
    for ask in (store.backlog, lambda: store.reached({("shipping.forward", 0): 6})):
        with pytest.raises(TransientError):
            await ask()
    with pytest.raises(TransientError, match="no primary now"):
        await store.prepare(asyncio.Event())
    loyalty.redis.change_part()
    await store.prepare(asyncio.Event())
    assert await store.positions() == {("shipping.forward", 0): 5}
    await store.reached({("shipping.forward", 0): 6})


async def test_a_change_of_parts_is_noticed_by_the_next_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loyalty = Loyalty()
    loyalty.replace(monkeypatch)
    store = await loyalty.connect()
    loyalty.redis.change_part()
    loyalty.redis.change_part()
    await store.redis.connection_pool.disconnect(inuse_connections=False)
    with pytest.raises(StoreLostError, match="replaced"):
        await store.positions()
