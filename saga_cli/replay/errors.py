"""Why a rebuild can't be."""

from typing import Final

NOT_PUBLISHED: Final = (
    "events in its outbox are not in the log yet: start the service until they are published, "
    "or rebuild into a new store without them"
)


class ReplayError(Exception):
    """It is refused, or can't go on; nothing that a service needs was touched."""
