"""The simulated Redis answers as a real one does, command by command."""

from collections.abc import AsyncIterator
from random import Random
from typing import Any, Final

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from chassis import ids
from saga_cli.topology import Addresses
from simulation.redis_client import RedisClients
from simulation.redis_server import RedisServer

DATABASE: Final = 9
CALL: Final = "return redis.call(unpack(ARGV))"
KEYS: Final = ("text", "hash", "list", "set", "stream")
OWN_KEYS: Final = {"H": "hash", "L": "list", "R": "list", "Z": "set", "X": "stream"}
"""By the first letter of a command."""
KEY: Final = object()
BARE: Final = ("GET", "HGETALL", "HLEN", "LPOP", "LLEN", "ZCARD", "XLEN", "PTTL", "NONSENSE")
"""Commands that take a key and nothing else."""
NAMES: Final = ("x", "y", "z")
"""Fields, members, entries."""
NUMBERS: Final = (-5, -2, -1, 0, 1, 2, 9)
HUGE: Final = (2**63 - 1, -(2**63), 2**63, 10**30, "007", "-0", "+1", " 1", "")
"""At the ends of 64 bits, beyond them, and no number as Redis writes one."""


@pytest.fixture
async def real(addresses: Addresses) -> AsyncIterator[Redis]:
    async with Redis.from_url(f"{addresses.redis_url}/{DATABASE}") as redis:
        await redis.flushdb()
        yield redis
        await redis.flushdb()


@pytest.fixture
def simulated() -> Any:
    return RedisClients(RedisServer()).from_url("redis://simulated")


def a_command(choice: Random) -> list[Any]:
    """Mostly on the key of its type; now and then on another one, or with an argument that is none."""
    pick = choice.choice
    name, number = pick(NAMES), pick(NUMBERS)
    known: list[tuple[Any, ...]] = [
        ("SET", KEY, pick(NUMBERS)),
        ("SET", KEY, name, "NX", "PX", 100_000),
        ("DEL", *choice.sample(KEYS, 1)),
        ("EXISTS", *choice.choices(KEYS, k=2)),
        ("HGET", KEY, name),
        ("HSET", KEY, name, number),
        ("HSET", KEY, "x", number, "y", name),
        ("HSET", KEY, name),
        ("HMGET", KEY, "x", "nothing", "z"),
        ("HEXISTS", KEY, name),
        ("HINCRBY", KEY, name, number),
        ("HINCRBY", KEY, name, "1.5"),
        ("HINCRBY", KEY, name, pick(HUGE)),
        ("HSET", KEY, name, pick(HUGE)),
        ("RPUSH", KEY, *choice.choices(NAMES, k=2)),
        ("LINDEX", KEY, number),
        ("LRANGE", KEY, number, pick(NUMBERS)),
        ("LSET", KEY, number, name),
        ("LREM", KEY, 1, name),
        ("ZADD", KEY, "NX", number, name),
        ("ZADD", KEY, "NX", "much", name),
        ("ZREM", KEY, name),
        ("ZRANGE", KEY, number, pick(NUMBERS)),
        ("XADD", KEY, "*", name, number),
        ("XADD", KEY, "*", name),
        ("XDEL", KEY, "1-1"),
        ("XRANGE", KEY, "1-1", "1-1"),
        ("XTRIM", KEY, "MINID", 1),
        ("XRANGE", KEY, "(1-1", "+", "COUNT", 3),
        ("PEXPIRE", KEY, 100_000),
        *((bare, KEY) for bare in BARE),
        ("GET",),
    ]
    command, *args = pick(known)
    key = pick(KEYS) if choice.random() < 0.1 else OWN_KEYS.get(command[0], "text")
    return [command, *(key if arg is KEY else arg for arg in args)]


async def result(redis: Any, script: str, *args: Any) -> Any:
    """The reply; of an error its class and whether it is about a type or an overflow."""
    try:
        return await redis.eval(script, len(KEYS), *KEYS, *args)
    except ResponseError as error:
        what = str(error)
        return (
            type(error).__name__,
            what.split(maxsplit=1)[0] == "WRONGTYPE",
            "would overflow" in what,
        )


def without_time(command: str, reply: Any) -> Any:
    """A stream's ids and what is left of a lease depend on it."""
    if isinstance(reply, tuple):
        return reply
    match command:
        case "XADD":
            return b"-" in reply
        case "XRANGE":
            return [pairs for _, pairs in reply]
        case "PTTL":
            return min(reply, 1)
        case _:
            return reply


@pytest.mark.parametrize("seed", range(4))
async def test_it_answers_as_a_real_one(real: Redis, simulated: Any, seed: int) -> None:
    choice = Random(seed)  # noqa: S311 - a test's choice
    for number in range(1000):
        command = a_command(choice)
        ours, theirs = [
            without_time(command[0], await result(redis, CALL, *command))
            for redis in (simulated, real)
        ]
        assert ours == theirs, f"command {number}: {command}"


SCRIPTS: Final = (
    "return {1, 'a', {'b', 2.9}, true, false, 'behind the first nil'}",
    "return redis.call('GET', 'nothing') == false",
    "return redis.call('HMGET', 'nothing', 'x', 'y')",
    "return redis.call('SET', KEYS[1], 1).ok",
    "return redis.call('SET', KEYS[1], 1)",
    "return {err = 'MINE of my own'}",
    "return tostring(redis.pcall('LPOP', KEYS[1]).err ~= nil)",
    "return redis.call('RPUSH', KEYS[3], 1700000000 * 1000000 + 1, 2.5, 1e20, '007')",
    "redis.call('RPUSH', KEYS[3], 'stays') redis.call('LPOP', KEYS[1])",
    "return redis.call('LRANGE', KEYS[3], 0, -1)",
    "redis.call('HSET', KEYS[2], 'x', {})",
    "return undefined",
    "undefined = 1",
    "return 'a' < 1",
    "return (",
    "#!lua flags=no-cluster\nreturn ARGV[1]",
    "return #ARGV + tonumber(ARGV[2])",
    "return tostring(tonumber('-9007199254740993') >= -9007199254740991)",
    "return tostring(string.find('007', '^%-?[1-9]%d*$'))",
    "return {KEYS[#KEYS], ARGV[#ARGV]}",
    "return redis.call('DEL', unpack(KEYS))",
    "return redis.call('EXISTS', unpack(KEYS))",
)


async def test_scripts_mean_the_same(real: Redis, simulated: Any) -> None:
    """Conversions, errors, and that what a script wrote before its error stays."""
    for script in SCRIPTS:
        answers = [await result(redis, script, "first", 41) for redis in (simulated, real)]
        assert answers[0] == answers[1], script


async def test_the_client_answers_as_redis_py(real: Redis, simulated: Any) -> None:
    for redis in (simulated, real):
        await result(redis, "redis.call('HSET', KEYS[2], 'x', 1) redis.call('SET', KEYS[1], 2)")
    unconsumed = f"return '{ids.new_id()}'"
    answers = [await _asked(redis, unconsumed) for redis in (simulated, real)]
    assert answers[0] == answers[1]
    assert len(answers[0]) == 11


async def _asked(redis: Any, script: str) -> list[Any]:
    pipe = redis.pipeline(transaction=False)
    pipe.exists("hash").exists("hash", "nothing", "text").hget("hash", "x").hget("text", "x")
    pipe.hmget("hash", "x", "y")
    pipe.eval(script, 0)
    assert len(pipe) == 6
    replies = [
        type(reply).__name__ if isinstance(reply, Exception) else reply
        for reply in await pipe.execute(raise_on_error=False)
    ]
    pipe.hget("text", "x").eval(
        "return redis.call('RPUSH', KEYS[1], 'despite the error')", 1, "list"
    )
    with pytest.raises(ResponseError):
        await pipe.execute()
    return [
        *replies,
        await redis.eval("return redis.call('LRANGE', KEYS[1], 0, -1)", 1, "list"),
        sorted([name async for name in redis.scan_iter(match="h*", count=1000)]),
        await redis.hgetall("hash"),
        await redis.hgetall("nothing"),
        await pipe.execute(),
    ]
