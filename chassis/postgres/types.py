"""asyncpg's classes, which carry no types, named once; and whose fault an error of PostgreSQL is.

An error is one of three kinds. That of a *statement* (POISON) comes again with the same values: the
caller isolates it. That of a *session* condemns it: the server is another one than it was, or the
session is in a state in which nothing goes on, so that the same statement works in a new one. Any
other is an *outage*, which passes by itself. The last two are TRANSIENT to whoever asks.
"""

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
CONDEMNING: Final = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.InvalidCachedStatementError,  # planned for types that are others now
    asyncpg.OutdatedSchemaCacheError,
    TimeoutError,  # such as a host that is gone without a word
)
CONDEMNING_STATES: Final = (
    "08",  # connection exceptions, and violations of the protocol
    "25",  # invalid transaction state; 25006 is a write in a session that is read-only
    "26000",  # its prepared statements are gone, 42P05: or another's are there: a pooler in between
    "42P05",
    "55000",  # "recovery is in progress": a standby
    "57P",  # the server stops, crashed, starts, or has dropped the database
)
"""Beginnings of SQLSTATEs (PostgreSQL, appendix A)."""


def condemns(error: BaseException) -> bool:
    """Whether the session it came from is of no more use, nor are those that were made with it."""
    state = getattr(error, "sqlstate", None) or ""
    return isinstance(error, CONDEMNING) or state.startswith(CONDEMNING_STATES)
