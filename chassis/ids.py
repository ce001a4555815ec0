"""The only place that makes identities up."""

from functools import lru_cache
from typing import Final
from uuid import UUID, uuid5

from uuid_utils import uuid7

from chassis.events import NAMESPACE


def new_id() -> str:
    """A time-ordered id (RFC 9562, UUIDv7): new rows land beside each other in an index."""
    return str(uuid7())


LOWER: Final = 2**64 - 1
"""The second half of an id."""


def entry_of(key: str, id_: UUID) -> UUID:
    """What stands in the inbox for a message: its saga's time first, then all of its own id.

    Ids of messages are hashes; as they are, each would land on another page of the index.
    """
    mixed = (id_.int >> 64) ^ (id_.int & LOWER)  # a foreign id may differ in either half only
    begun = _begun(key)
    return id_ if begun is None else UUID(int=begun | mixed)


@lru_cache(maxsize=10_000)
def _begun(key: str) -> int | None:
    """The half of a saga's id that begins with its milliseconds; None if it is another key."""
    try:
        return UUID(key).int & ~LOWER
    except ValueError:
        return None


def derived_id(*parts: str) -> UUID:
    """The same parts give the same id."""
    return uuid5(NAMESPACE, ":".join(parts))
