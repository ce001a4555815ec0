"""How states become hashes: one versioned hash a saga, and plain ones that sagas share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Final

from chassis.decide import adapter_of
from chassis.message import VersionedState
from chassis.redis.keys import Keys

STATE_FIELDS: Final = ("version", "status", "detail")


@dataclass(frozen=True)
class StateHash:
    """A saga's hash, named `name`: its version, the name of its state and the state itself."""

    name: str
    states: tuple[type[Any], ...]

    @cached_property
    def _by_name(self) -> dict[str, type[Any]]:
        return {state.__name__: state for state in self.states}

    def state_of(self, status: str, detail: bytes | str) -> Any:
        return adapter_of(self._by_name[status]).validate_json(detail)

    def row_of(self, version: bytes, status: bytes, detail: bytes) -> VersionedState:
        return VersionedState(self.state_of(status.decode(), detail), int(version))

    def values(self, row: VersionedState) -> tuple[Any, ...]:
        """As STATE_FIELDS names them."""
        kind = type(row.state)
        return (row.version, kind.__name__, adapter_of(kind).dump_json(row.state))


@dataclass(frozen=True)
class SharedHash:
    """A hash that sagas share, named `name`: its fields are those of `item`, integers and booleans.

    What is added to `counters` commutes: their writers need not wait for one another. Each other field
    has to be as it was read. `version` names the field that numbers the row's own events.
    """

    name: str
    item: type[Any]
    version: str
    counters: tuple[str, ...] = ()

    @cached_property
    def fields(self) -> tuple[str, ...]:
        return tuple(field.name for field in fields(self.item))

    @cached_property
    def compared(self) -> tuple[str, ...]:
        return tuple(name for name in self.fields if name not in self.counters)

    def row_of(self, values: Sequence[bytes | None]) -> Any | None:
        """None for a hash that is not there. Raises ValueError for what is no number of ours."""
        if all(value is None for value in values):
            return None
        kinds = {field.name: field.type for field in fields(self.item)}
        numbers = {name: _number(value) for name, value in zip(self.fields, values, strict=True)}
        return self.item(**{n: bool(v) if kinds[n] is bool else v for n, v in numbers.items()})

    def values(self, row: Any) -> dict[str, int]:
        return {name: int(getattr(row, name)) for name in self.fields}

    def steps(self, before: Any | None, after: Any) -> Mapping[str, int]:
        """How much is added to each counter."""
        old, new = before if before is not None else self.item(), after
        return {name: getattr(new, name) - getattr(old, name) for name in self.counters}


def _number(value: bytes | None) -> int:
    number = int(value or 0)
    if value and str(number).encode() != value:
        raise ValueError(f"{value!r} is no number as it is written here")
    return number


@dataclass(frozen=True)
class Layout:
    """Where a service's data lie in Redis, and in what form."""

    keys: Keys
    own: StateHash
    shared: SharedHash | None = None

    def own_key(self, key: str) -> str:
        return self.keys.of(self.own.name, key)

    def shared_key(self, key: str) -> str:
        assert self.shared is not None, "its service has no shared rows"
        return self.keys.of(self.shared.name, key)
