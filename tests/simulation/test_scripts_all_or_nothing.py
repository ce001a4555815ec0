"""Each of loyalty's scripts does all or nothing, whichever of its calls fails (rule R11).

Redis takes nothing back when a script fails. So each check comes before the first write: of the
type of each key that is written, and of the numbers that are added. What comes after it can't fail.
Memory is asked for at the first write only.
"""

import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any, Final

import pytest
from redis.exceptions import OutOfMemoryError, ResponseError

from chassis import clock
from chassis.redis.script import COMMIT, Script
from simulation.redis_commands import COMMANDS
from simulation.redis_data import Hash
from simulation.redis_server import RedisServer
from tests.simulation.story import COMPLETE, SCRIPTS, Ran, recorded

OF_ANY_TYPE: Final = {"DEL", "EXISTS", "PEXPIRE", "PTTL", "TIME"}
FAILS_BY_ITS_KEY: Final = {
    "HDEL",
    "HSET",
    "HINCRBY",
    "RPUSH",
    "LPOP",
    "XADD",
    "XDEL",
    "XLEN",
    "XRANGE",
    "XTRIM",
    "ZADD",
    "ZREM",
}
"""With arguments that are right whatever the values: the kind of its key, and a number there."""
NEVER_FAILS: Final = OF_ANY_TYPE | {"SET"}
WRITES: Final = frozenset(re.findall(r"([A-Z]+) = '[A-Z]+'", COMMIT))
"""All that commit.lua may write."""
CHECKS: Final = frozenset({"HGET", "HEXISTS", "EXISTS", "LINDEX", "LLEN"})
WRONG_POINTS: Final = (
    *(b"%d" % number for number in (2**53, -(2**53), 2**63 - 1, -(2**63), 2**63, 10**30)),
    *(b"", b"abc", b"007", b"+1", b"-0", b" 1", b"1.5", b"1e3", b"0x10"),
)


@pytest.fixture
async def ran(monkeypatch: pytest.MonkeyPatch) -> list[Ran]:
    found = await recorded(monkeypatch)
    assert {SCRIPTS[each.name] for each in found} == {SCRIPTS[name] for name in COMPLETE}
    return found


@pytest.fixture
def redis() -> RedisServer:
    return RedisServer()


def _failing_at(number: int, redis: RedisServer) -> None:
    left = iter(range(number))

    def count(*_: Any) -> None:
        if next(left, None) is None:
            raise ResponseError("injected")

    redis.on_call = count


def changed(redis: RedisServer, each: Ran, spoil: Callable[[RedisServer], None]) -> bool | None:
    """Whether a run that failed has changed anything but how long a lease is; None if it did not fail."""
    redis.data.values, redis.data.ends_ms = deepcopy(each.found)
    spoil(redis)
    before = deepcopy((redis.data.values, set(redis.data.ends_ms)))
    try:
        redis.execute(*each.command)
    except ResponseError:
        return before != (redis.data.values, set(redis.data.ends_ms))
    finally:
        redis.full, redis.on_call = False, None
    return None


async def test_a_call_that_fails_leaves_nothing_or_is_one_that_cannot(
    ran: list[Ran], redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    halves = 0
    for each in ran:
        monkeypatch.setattr(clock, "now", lambda at=each.at: at)
        for number, (name, _) in enumerate(each.calls):
            left = changed(redis, each, partial(_failing_at, number))
            assert left is not None, f"{each.name} went on after call {number} failed"
            if left:
                assert name.decode() in NEVER_FAILS | FAILS_BY_ITS_KEY, f"{each.name} at {number}"
                halves += 1
    assert halves > 20, "Redis takes nothing back: these are halves that only an injection makes"


async def test_no_script_makes_a_key_on_which_another_fails(ran: list[Ran]) -> None:
    """A key has one type for ever, by its name; points, and what is added to them, are numbers."""
    types: dict[bytes, set[str]] = {}
    for each in ran:
        for name, args in each.calls:
            if name.decode() not in OF_ANY_TYPE:
                types.setdefault(_family(args[0]), set()).add(_type_of(name.decode()))
            if name in {b"HSET", b"HINCRBY"}:
                fields = dict(zip(args[1::2], args[2::2], strict=True))
                assert re.fullmatch(rb"-?\d+", fields.get(b"points", b"0"))
                assert name == b"HSET" or list(fields) == [b"points"]
    assert {family: len(found) for family, found in types.items()} == dict.fromkeys(types, 1)
    assert len(types) > 10


def _type_of(command: str) -> str:
    return {"H": "hash", "R": "list", "L": "list", "X": "stream", "Z": "set"}.get(
        command[0], "text"
    )


def _family(key: bytes) -> bytes:
    return b":".join(key.split(b":")[:2])


async def test_a_key_of_another_type_is_met_before_the_first_write(
    ran: list[Ran], redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a foreign hand makes one."""
    met = 0
    for each in ran:
        monkeypatch.setattr(clock, "now", lambda at=each.at: at)
        for key in {args[0] for name, args in each.calls if name != b"TIME"}:
            left = changed(redis, each, partial(_of_another_type, key))
            assert not left, f"{each.name} fails on {key!r} when it has written already"
            met += left is False
    assert met > 20


async def test_points_that_cannot_be_added_are_met_before_the_first_write(
    ran: list[Ran], redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers at the ends of what is counted, beyond 64 bits, and what is none to Redis."""
    for each in adding(ran):
        monkeypatch.setattr(clock, "now", lambda at=each.at: at)
        key = next(args[0] for name, args in each.calls if name == b"HINCRBY")
        for points in WRONG_POINTS:
            spoil = partial(_with_points, key, points)
            assert changed(redis, each, spoil) is False, f"{each.name} on {points!r}"
        for points in (b"0", b"-5", b"900719925474099", b"-900719925474099"):
            assert changed(redis, each, partial(_with_points, key, points)) is None, points


async def test_a_step_that_cannot_be_added_is_met_before_the_first_write(
    ran: list[Ran], redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in adding(ran):
        monkeypatch.setattr(clock, "now", lambda at=each.at: at)
        words = list(each.command)
        last = max(at for at, word in enumerate(words) if word == b"HINCRBY") + 4
        assert words[last - 1] == b"points"
        for step in WRONG_POINTS:
            wrong = replace(each, command=(*words[:last], step, *words[last + 1 :]))
            assert changed(redis, wrong, lambda _redis: None) is False, step


def adding(ran: list[Ran]) -> list[Ran]:
    """Runs that change the points, or the standing, of customers."""
    found = [each for each in ran if any(name == b"HINCRBY" for name, _ in each.calls)]
    many = [[n for n, _ in each.calls].count(b"HINCRBY") for each in found]
    assert max(many) > 1, "no batch of several customers"
    return found


@pytest.mark.parametrize(
    ("steps", "sum_"),
    [((1, 2), 2**53 - 1), ((1, 3), None), ((4, -1), None), ((-1, 4), 2**53 - 1), ((2**53,), None)],
)
def test_steps_of_one_script_are_added_up_before_the_first_write(
    redis: RedisServer, steps: tuple[int, ...], sum_: int | None
) -> None:
    """Each intermediate sum has to be exact, as each is written."""
    key, before = b"loyalty:customer:alice", b"%d" % (2**53 - 4)
    redis.data.values = {b"epoch": b"1", key: Hash({b"points": before, b"changes": b"3"})}
    script = Script("epoch", "1")
    script.write("RPUSH", "loyalty:actions:x", "an entry")
    for step in steps:
        script.write("HINCRBY", key.decode(), "points", step)
    if sum_ is None:
        with pytest.raises(ResponseError, match="REFUSED loyalty:customer:alice points can not"):
            redis.execute(*_command(script))
        assert redis.data.values[key][b"points"] == before
        assert b"loyalty:actions:x" not in redis.data.values
    else:
        assert redis.execute(*_command(script)) == [b"DONE"]
        assert redis.data.values[key][b"points"] == b"%d" % sum_


def _command(script: Script) -> list[bytes]:
    words = (COMMIT, *script.arguments())
    return [b"EVAL", *(w if isinstance(w, bytes) else str(w).encode() for w in words)]


async def test_a_commit_writes_nothing_before_its_last_check(ran: list[Ran]) -> None:
    """In every kind of write that it knows, and every kind of check."""
    checked, written = set[str](), set[str]()
    for each in committing(ran):
        names = [name for name, _ in each.calls]
        is_write = [COMMANDS[name].writes for name in names]
        first = is_write.index(True) if True in is_write else len(names)
        assert all(is_write[first:]), f"{names} reads after a write"
        checked |= {check[0].decode() for check in _checks(each)}
        written |= {name.decode() for name in names[first:]}
    assert written == WRITES
    assert checked == CHECKS


async def test_any_check_that_fails_leaves_nothing(
    ran: list[Ran], redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = 0
    for each in committing(ran):
        monkeypatch.setattr(clock, "now", lambda at=each.at: at)
        for number, (_, _, _, expected) in enumerate(_checks(each)):
            at = _first_check(each) + 4 * number + 3
            for other in {b"otherwise", b"0", b"1"} - {expected}:
                wrong = (*each.command[:at], other, *each.command[at + 1 :])
                redis.data.values, redis.data.ends_ms = deepcopy(each.found)
                assert redis.execute(*wrong) == [b"CONFLICT"], each.command
                assert (redis.data.values, redis.data.ends_ms) == each.found
                tried += 1
        redis.data.values, redis.data.ends_ms = deepcopy(each.found)
        redis.data.values[b"loyalty:epoch"] = b"another"
        before = deepcopy(redis.data.values)
        assert redis.execute(*each.command) == [b"LOST"]
        assert redis.data.values == before
    assert tried > 100


def test_what_is_not_there_counts_as_nothing(redis: RedisServer) -> None:
    """As a counter or flag of 0 that was never written; what is there is compared as it is written."""
    for held, expected, is_so in (
        (None, 0, True),
        (b"0", 0, True),
        (b"1", 0, False),
        (None, 1, False),
        (b"", 0, False),
        (b"00", 0, False),
        (b"1", 1, True),
    ):
        row = Hash() if held is None else Hash({b"suspended": held})
        redis.data.values = {b"epoch": b"1", b"customer": row}
        script = Script("epoch", "1")
        script.check("HGET", "customer", "suspended", expected)
        assert redis.execute(*_command(script)) == [b"DONE" if is_so else b"CONFLICT"]


def committing(ran: list[Ran]) -> list[Ran]:
    """Runs of commit.lua that were not told of a conflict."""
    found = [each for each in ran if each.name == "COMMIT"]
    assert any(each.reply == [b"CONFLICT"] for each in found), "no two were in each other's way"
    return [each for each in found if each.reply != [b"CONFLICT"]]


def _first_check(each: Ran) -> int:
    """Where in the command its checks begin: behind the keys, the epoch and two counts."""
    return 3 + int(each.command[2]) + 3


def _checks(each: Ran) -> list[tuple[bytes, ...]]:
    first = _first_check(each)
    ends = range(first, first + 4 * int(each.command[first - 2]), 4)
    return [each.command[at : at + 4] for at in ends]


def _with_points(key: bytes, points: bytes, redis: RedisServer) -> None:
    redis.data.values.setdefault(key, Hash())[b"points"] = points


def _of_another_type(key: bytes, redis: RedisServer) -> None:
    held = redis.data.values.get(key)
    redis.data.values[key] = {b"a": 1.0} if type(held) is bytes else b"a"


async def test_without_memory_a_script_does_all_or_nothing_and_all_when_there_is_some_again(
    ran: list[Ran], redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = set()
    for each in ran:
        monkeypatch.setattr(clock, "now", lambda at=each.at: at)
        redis.data.values, redis.data.ends_ms = deepcopy(each.found)
        redis.execute(*each.command)
        complete = deepcopy((redis.data.values, redis.data.ends_ms))
        redis.data.values, redis.data.ends_ms = deepcopy(each.found)
        redis.full = True
        try:
            redis.execute(*each.command)
        except OutOfMemoryError:
            refused.add(_what(each))
            assert (redis.data.values, redis.data.ends_ms) == each.found
            redis.full = False
            redis.execute(*each.command)
        finally:
            redis.full = False
        assert (redis.data.values, redis.data.ends_ms) == complete, each.name
    assert {"COMMIT HSET", "COMMIT LSET", "LEAD", "REACH", "ENTER"} <= refused
    free = {"ACKNOWLEDGE", "PENDING", "READ", "COMMIT LREM", "COMMIT HDEL"}
    assert free.isdisjoint(refused), "they free memory"
    assert free <= {_what(each) for each in ran}


def _what(each: Ran) -> str:
    """Its script, and of a commit what it writes first: a discard, or a refused row settled, frees memory."""
    written = (name.decode() for name, _ in each.calls if COMMANDS[name].writes)
    return f"COMMIT {next(written, '')}" if each.name == "COMMIT" else each.name
