"""A hash that is folded from a compacted topic, to be looked up by key and by value."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from chassis.message import Record
from chassis.projected import Projected
from chassis.redis.guarded import Guarded
from chassis.redis.keys import Keys

FOLD: Final = """
for n = 2, #ARGV, 2 do
  local key, value = ARGV[n], ARGV[n + 1]
  local before = redis.call('HGET', KEYS[2], key)
  if before and redis.call('HGET', KEYS[3], before) == key then redis.call('HDEL', KEYS[3], before) end
  if value == '' then
    redis.call('HDEL', KEYS[2], key)
  else
    redis.call('HSET', KEYS[2], key, value)
    redis.call('HSET', KEYS[3], value, key)
  end
end
"""
"""A tombstone, an empty value, leaves nothing in either direction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectedHash(Projected):
    """Of an event with one text beside its subject."""

    keys: Keys

    @property
    def place(self) -> str:
        """The hash with the value of each key."""
        return self.keys.prefix + self.name

    @property
    def reverse(self) -> str:
        """The hash with the key of each value."""
        return f"{self.place}:by-value"

    async def __call__(self, store: Guarded, records: Sequence[Record]) -> None:
        """Fold them, all or none. Raises MalformedError for a record of something else."""
        newest = {record.subject: self.values_of(record) for record in records}
        words: list[Any] = []
        for key, values in newest.items():
            words += [key, "" if values is None else values[0]]
        await store.guarded(FOLD, [self.place, self.reverse], *words)

    async def key_of(self, store: Guarded, value: str) -> str | None:
        found = await store.read("HGET", self.reverse, value)
        return None if found is None else str(found.decode())
