"""asyncpg's classes, which carry no types, named once; and which of its errors pass by themselves."""

from typing import Any, Final, TypeAlias

import asyncpg

Connection: TypeAlias = Any
Pool: TypeAlias = Any

POISON: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)
TRANSIENT: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a session that the server has just ended is asked once more
    OSError,
    TimeoutError,
)
