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
    asyncpg.InternalClientError,  # such as a session that the server ended, used before its socket ends
    OSError,
    TimeoutError,
)
