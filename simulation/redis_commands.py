"""The commands that loyalty uses, as Redis answers them; any other is unknown."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Final

from simulation.redis_data import Data, Hash, List, SortedSet, Stream, error, fits, integer

Run = Callable[..., Any]


class Status(bytes):
    """A reply such as OK, which a script sees as a table."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class RedisCommand:
    """It takes so many arguments. One that `grows` needs free memory."""

    run: Run
    least: int
    most: int
    writes: bool
    grows: bool


COMMANDS: Final[dict[bytes, RedisCommand]] = {}
OK: Final = Status(b"OK")
SYNTAX: Final = "ERR syntax error"
ARGUMENTS_MAX: Final = 1024 * 1024


def command(arity: int, *, writes: bool = False, grows: bool = False) -> Callable[[Run], Run]:
    """`arity` is as Redis tells it: it counts the name, and a negative one is a minimum."""

    def register(run: Run) -> Run:
        name = run.__name__.removesuffix("_").upper().encode()
        least, most = abs(arity) - 1, arity - 1 if arity > 0 else ARGUMENTS_MAX
        COMMANDS[name] = RedisCommand(run, least, most, writes or grows, grows)
        return run

    return register


def look(name: str, arity: int, kind: type[Any], answer: Run) -> None:
    """A command that only looks at a value of a kind; where there is none, at an empty one."""

    def run(data: Data, key: bytes, *args: bytes) -> Any:
        return answer(data.seen(key, kind), *args)

    run.__name__ = name
    command(arity)(run)


@command(1)
def time(data: Data) -> list[bytes]:
    seconds, micros = divmod(data.now_us, 1_000_000)
    return [b"%d" % seconds, b"%d" % micros]


@command(-2)
def exists(data: Data, *keys: bytes) -> int:
    return sum(map(data.has, keys))


@command(-2, writes=True)
def del_(data: Data, *keys: bytes) -> int:
    found = [key for key in keys if data.has(key)]
    for key in found:
        data.replace(key, None)
    return len(found)


@command(-2)
def scan(data: Data, cursor: bytes, *options: bytes) -> list[Any]:
    """All in one page, which Redis may do too."""
    match options:
        case () | (b"COUNT", _):
            prefix = b""
        case (b"MATCH", pattern, *_) if pattern.endswith(b"*") and pattern.count(b"*") == 1:
            prefix = pattern[:-1]
        case _:
            raise error(SYNTAX)
    if integer(cursor) != 0:
        raise error("ERR invalid cursor")
    return [b"0", sorted(k for k in list(data.values) if k.startswith(prefix) and data.has(k))]


@command(2)
def pttl(data: Data, key: bytes) -> int:
    if not data.has(key):
        return -2
    end_ms = data.ends_ms.get(key)
    return -1 if end_ms is None else end_ms - data.now_ms


@command(3, writes=True)
def pexpire(data: Data, key: bytes, ms: bytes) -> int:
    end_ms = data.now_ms + integer(ms)
    if not data.has(key):
        return 0
    data.replace(key, data.values[key], end_ms)
    return 1


@command(2)
def get(data: Data, key: bytes) -> bytes | None:
    return data.find(key, bytes)


@command(-3, grows=True)
def set_(data: Data, key: bytes, value: bytes, *options: bytes) -> Status | None:
    only_new, end_ms = False, None
    match options:
        case ():
            pass
        case (b"NX", b"PX", ms):
            only_new, end_ms = True, data.now_ms + integer(ms)
        case _:
            raise error(SYNTAX)
    if only_new and data.has(key):
        return None
    data.replace(key, value, end_ms)
    return OK


@command(-3, writes=True)
def hdel(data: Data, key: bytes, *fields: bytes) -> int:
    held = data.seen(key, Hash)
    gone = {field: held.pop(field) for field in fields if field in held}
    if gone:
        data.undo.append(partial(held.update, gone))
        data.dropped_if_empty(key, held)
    return len(gone)


@command(-4, grows=True)
def hset(data: Data, key: bytes, *pairs: bytes) -> int:
    if len(pairs) % 2:
        raise error("ERR wrong number of arguments for 'hset' command")
    held = data.made(key, Hash)
    return sum(data.set_item(held, *pair) for pair in zip(pairs[::2], pairs[1::2], strict=True))


@command(4, grows=True)
def hincrby(data: Data, key: bytes, field: bytes, by: bytes) -> int:
    step = integer(by)
    before = data.seen(key, Hash).get(field, b"0")
    total = integer(before, "ERR hash value is not an integer") + step
    if not fits(total):
        raise error("ERR increment or decrement would overflow")
    data.set_item(data.made(key, Hash), field, b"%d" % total)
    return total


@command(-3, grows=True)
def rpush(data: Data, key: bytes, *entries: bytes) -> int:
    held = data.made(key, List)
    held += entries
    data.undo.append(partial(held.__delitem__, slice(-len(entries), None)))
    return len(held)


@command(-2, writes=True)
def lpop(data: Data, key: bytes) -> bytes | None:
    return _taken(data, key, 0) if data.find(key, List) else None


def _taken(data: Data, key: bytes, at: int) -> bytes:
    held: List = data.values[key]
    entry = held.pop(at)
    data.undo.append(partial(held.insert, at, entry))
    data.dropped_if_empty(key, held)
    return entry


@command(3)
def lindex(data: Data, key: bytes, at: bytes) -> bytes | None:
    held, number = data.seen(key, List), integer(at)
    return held[number] if -len(held) <= number < len(held) else None


@command(4, grows=True)
def lset(data: Data, key: bytes, at: bytes, entry: bytes) -> Status:
    held = data.find(key, List)
    if held is None:
        raise error("ERR no such key")
    number = integer(at)
    if not -len(held) <= number < len(held):
        raise error("ERR index out of range")
    data.undo.append(partial(held.__setitem__, number, held[number]))
    held[number] = entry
    return OK


@command(4, writes=True)
def lrem(data: Data, key: bytes, count: bytes, entry: bytes) -> int:
    if integer(count) != 1:
        raise error(SYNTAX)
    held = data.seen(key, List)
    if entry not in held:
        return 0
    _taken(data, key, held.index(entry))
    return 1


@command(-4, grows=True)
def zadd(data: Data, key: bytes, *args: bytes) -> int:
    match args:
        case (b"NX", score, member):
            number = _score(score)
            held = data.made(key, SortedSet)
            return 0 if member in held else int(data.set_item(held, member, number))
        case _:
            raise error(SYNTAX)


def _score(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        raise error("ERR value is not a valid float") from None


@command(3, writes=True)
def zrem(data: Data, key: bytes, member: bytes) -> int:
    held = data.seen(key, SortedSet)
    if member not in held:
        return 0
    data.undo.append(partial(held.__setitem__, member, held.pop(member)))
    data.dropped_if_empty(key, held)
    return 1


@command(-5, grows=True)
def xadd(data: Data, key: bytes, id_: bytes, *pairs: bytes) -> bytes:
    """Ids follow the clock, but never go back with it."""
    if len(pairs) % 2:
        raise error("ERR wrong number of arguments for 'xadd' command")
    if id_ != b"*":
        raise error(SYNTAX)
    held = data.made(key, Stream)
    ms, sequence = held.last
    data.undo.append(partial(setattr, held, "last", held.last))
    held.last = (data.now_ms, 0) if data.now_ms > ms else (ms, sequence + 1)
    name = b"%d-%d" % held.last
    data.set_item(held, name, list(pairs))
    return name


@command(-4)
def xrange(data: Data, key: bytes, first: bytes, last: bytes, *options: bytes) -> list[Any]:
    match options:
        case ():
            count = None
        case (b"COUNT", text):
            count = integer(text)
        case _:
            raise error(SYNTAX)
    held = data.seen(key, Stream)
    if first[:1].isdigit() and last[:1].isdigit():
        least, most = _place(first), _place(last)
        return [[n, pairs] for n, pairs in held.items() if least <= _place(n) <= most]
    if last != b"+":
        raise error(SYNTAX)
    rows = iter(held.items()) if first == b"-" else _after(held, first)
    return [[name, pairs] for name, pairs in islice(rows, count)]


def _after(held: dict[bytes, list[bytes]], first: bytes) -> Iterator[tuple[bytes, list[bytes]]]:
    if not first.startswith(b"("):
        raise error(SYNTAX)
    start = _place(first[1:])
    return (row for row in held.items() if _place(row[0]) > start)


def _place(name: bytes) -> tuple[int, ...]:
    return tuple(map(integer, name.split(b"-")))


@command(-3, writes=True)
def xdel(data: Data, key: bytes, *names: bytes) -> int:
    held = data.seen(key, Stream)
    rows = {name: held.pop(name) for name in names if name in held}
    if rows:
        data.undo.append(partial(_put_in, held, rows))
    return len(rows)


def _put_in(held: Stream, rows: dict[bytes, list[bytes]]) -> None:
    """Back to their places among the others."""
    all_ = sorted((held | rows).items(), key=lambda row: _place(row[0]))
    held.clear()
    held.update(all_)


@command(-4, writes=True)
def xtrim(data: Data, key: bytes, how: bytes, least: bytes) -> int:
    if how != b"MINID":
        raise error(SYNTAX)
    held = data.seen(key, Stream)
    start = _place(least)
    removed: int = xdel(data, key, *(name for name in held if _place(name) < start))
    return removed


def _between(items: list[bytes], first: bytes, last: bytes) -> list[bytes]:
    """Both ends are in; a negative one counts from the end."""
    start, stop = (n + len(items) if n < 0 else n for n in (integer(first), integer(last)))
    return items[max(0, start) : max(0, stop + 1)]


def _by_score(held: SortedSet) -> list[bytes]:
    return sorted(held, key=lambda member: (held[member], member))


look("hget", 3, Hash, Hash.get)
look("hmget", -3, Hash, lambda held, *fields: [held.get(field) for field in fields])
look("hgetall", 2, Hash, lambda held: [part for pair in held.items() for part in pair])
look("hkeys", 2, Hash, list)
look("hlen", 2, Hash, len)
look("hexists", 3, Hash, lambda held, field: int(field in held))
look("llen", 2, List, len)
look("lrange", 4, List, _between)
look("zcard", 2, SortedSet, len)
look("zrange", 4, SortedSet, lambda held, *ends: _between(_by_score(held), *ends))
look("xlen", 2, Stream, len)
