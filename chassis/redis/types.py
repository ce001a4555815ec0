"""Whose fault an error of Redis is, and what helps: wait, or another connection."""

import re
from typing import Any, Final

from redis.exceptions import (
    AskError,
    BusyLoadingError,
    ClusterDownError,
    ReadOnlyError,
    RedisError,
)

AWAY: Final = (RedisError, OSError, RuntimeError)
"""What a client raises for a lost connection; the last is uvloop's, for one closed between commands."""
WRITABLE: Final = "#!lua\nreturn 1"
"""Writes nothing, but says by its first line that it may: Redis refuses it wherever it refuses a write."""
CONDEMNING: Final = (ReadOnlyError, BusyLoadingError, ClusterDownError, AskError)
"""READONLY, LOADING, CLUSTERDOWN and MASTERDOWN, ASK and MOVED: it is not, or no more, who takes writes."""
CONDEMNING_CODES: Final = re.compile(r"\b(MISCONF|NOREPLICAS|UNBLOCKED|READONLY|MASTERDOWN)\b")
"""Those that the client has no class for, and those that a pipeline or a script quotes."""


def condemns(error: BaseException) -> bool:
    """Whether the server behind the connection has another part than it had: another may be asked now."""
    return isinstance(error, CONDEMNING) or bool(CONDEMNING_CODES.search(str(error)))


async def reconnect(redis: Any) -> None:
    """Every command after this one goes through a new connection; those under way end in their own."""
    await redis.connection_pool.update_active_connections_for_reconnect()
    await redis.connection_pool.disconnect(inuse_connections=False)
