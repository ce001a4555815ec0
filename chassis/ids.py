"""The only place that makes identities up."""

from uuid import UUID

from uuid_utils import uuid7
from uuid_utils.compat import uuid5

from shared_events.envelope import NAMESPACE


def new_id() -> str:
    """A time-ordered id (RFC 9562, UUIDv7): new rows land beside each other in an index."""
    return str(uuid7())


def derived_id(*parts: str) -> UUID:
    """The same parts give the same id."""
    return uuid5(NAMESPACE, ":".join(parts))
