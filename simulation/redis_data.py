"""The keys of a simulated Redis, in plain dicts; each change leaves how to take it back."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from redis.exceptions import OutOfMemoryError, ResponseError

from simulation.process import servers_now

ValueT = TypeVar("ValueT")
WRONG_TYPE: Final = "WRONGTYPE Operation against a key holding the wrong kind of value"


class Hash(dict[bytes, bytes]):
    """Values by field."""


class List(list[bytes]):
    """Entries from the head to the tail."""


class SortedSet(dict[bytes, float]):
    """Scores by member."""


class Stream(dict[bytes, list[bytes]]):
    """Fields and values by entry id, in the order of the ids."""

    last: tuple[int, int] = (0, 0)


class Data:
    """Values and expiries by key. `undo` takes back what was changed since it was last emptied."""

    def __init__(self) -> None:
        self.values: dict[bytes, Any] = {}
        self.ends_ms: dict[bytes, int] = {}
        self.undo: list[Callable[[], object]] = []
        self._now_us: int | None = None

    @property
    def now_us(self) -> int:
        """It stands still until `let_time_pass`."""
        if self._now_us is None:
            self._now_us = round(servers_now().timestamp() * 1_000_000)
        return self._now_us

    @property
    def now_ms(self) -> int:
        return self.now_us // 1000

    def let_time_pass(self) -> None:
        self._now_us = None

    def has(self, key: bytes) -> bool:
        end_ms = self.ends_ms.get(key)
        if end_ms is not None and end_ms <= self.now_ms:
            self._put(key, None, None)
        return key in self.values

    def find(self, key: bytes, kind: type[ValueT]) -> ValueT | None:
        """The value at the key. Raises ResponseError if it is of another type."""
        value = self.values[key] if self.has(key) else None
        if value is not None and type(value) is not kind:
            raise ResponseError(WRONG_TYPE)
        return value

    def seen(self, key: bytes, kind: type[ValueT]) -> ValueT:
        """The value at the key, or an empty one that is kept nowhere."""
        value = self.find(key, kind)
        return kind() if value is None else value

    def made(self, key: bytes, kind: type[ValueT]) -> ValueT:
        """The value at the key, which begins empty."""
        value = self.find(key, kind)
        if value is None:
            value = kind()
            self.replace(key, value)
        return value

    def replace(self, key: bytes, value: Any, end_ms: int | None = None) -> None:
        """Another value at the key, or none."""
        before = (self.values.get(key), self.ends_ms.get(key))
        self.undo.append(partial(self._put, key, *before))
        self._put(key, value, end_ms)

    def dropped_if_empty(self, key: bytes, value: Any) -> None:
        if not value:
            self.replace(key, None)

    def set_item(self, mapping: dict[bytes, Any], name: bytes, value: Any) -> bool:
        """Says whether the name is a new one."""
        is_new = name not in mapping
        if is_new:
            self.undo.append(partial(mapping.pop, name))
        else:
            self.undo.append(partial(mapping.__setitem__, name, mapping[name]))
        mapping[name] = value
        return is_new

    def clear(self) -> None:
        """All keys at once."""
        self.undo.append(partial(self._restore, self.values, self.ends_ms))
        self._restore({}, {})

    def _put(self, key: bytes, value: Any, end_ms: int | None) -> None:
        if value is None:
            self.values.pop(key, None)
        else:
            self.values[key] = value
        if end_ms is None:
            self.ends_ms.pop(key, None)
        else:
            self.ends_ms[key] = end_ms

    def _restore(self, values: dict[bytes, Any], ends_ms: dict[bytes, int]) -> None:
        self.values, self.ends_ms = values, ends_ms


def error(text: str) -> ResponseError:
    """An error reply as redis-py raises it: the code ERR is left out."""
    kind = OutOfMemoryError if text.startswith("OOM ") else ResponseError
    return kind(text.removeprefix("ERR ").removeprefix("OOM "))


def integer(text: bytes, otherwise: str = "ERR value is not an integer or out of range") -> int:
    try:
        number = int(text)
    except ValueError:
        raise error(otherwise) from None
    if b"%d" % number != text or not fits(number):
        raise error(otherwise)
    return number


def fits(number: int) -> bool:
    """Whether it is a signed integer of 64 bits, as Redis keeps them."""
    return -(2**63) <= number < 2**63
