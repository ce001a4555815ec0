"""Whose fault an error of PostgreSQL or Redis is: the statement's, the session's, or an outage's."""

import asyncpg
import pytest
from redis._parsers.base import BaseParser
from redis.exceptions import OutOfMemoryError, ResponseError

from chassis.postgres import types as postgres_types
from chassis.redis import types as redis_types

SESSIONS = (
    "08000 08003 08006 08P01 25006 25P02 25P03 26000 42P05 55000 57P01 57P02 57P03 57P04 57P05"
)
OUTAGES = ("40001", "40P01", "53100", "53200", "53300", "55P03", "57014", "58030", "XX000", "28P01")


def _error(state: str) -> asyncpg.PostgresError:
    """As a server sends it."""
    return asyncpg.PostgresError.new({"C": state, "M": "a message"})


@pytest.mark.parametrize("state", SESSIONS.split())
def test_what_condemns_a_session_of_postgresql(state: str) -> None:
    error = _error(state)
    assert postgres_types.condemns(error)
    assert isinstance(error, postgres_types.TRANSIENT)
    assert not isinstance(error, postgres_types.POISON)


@pytest.mark.parametrize("state", OUTAGES)
def test_what_passes_by_itself_ends_no_session(state: str) -> None:
    assert not postgres_types.condemns(_error(state))


@pytest.mark.parametrize("state", ["22003", "22P05", "23514", "54000"])
def test_what_is_the_statements_own_is_isolated_and_ends_no_session(state: str) -> None:
    error = _error(state)
    assert isinstance(error, postgres_types.POISON)
    assert not postgres_types.condemns(error)


CODES = ("READONLY", "LOADING", "MISCONF", "MASTERDOWN", "CLUSTERDOWN", "NOREPLICAS", "UNBLOCKED")


@pytest.mark.parametrize("code", CODES)
def test_what_condemns_the_connections_of_redis(code: str) -> None:
    """As the client makes them of a reply, alone and in a pipeline, which quotes it."""
    error = BaseParser.parse_error(f"{code} says a server that is not what it was")  # type: ignore[no-untyped-call]  # it carries no types
    assert redis_types.condemns(error)
    assert isinstance(error, redis_types.AWAY)
    assert code in "READONLY LOADING MASTERDOWN CLUSTERDOWN" or redis_types.condemns(
        ResponseError(f"Command # 2 (EVAL) of pipeline caused error: {error}")
    )


def test_a_full_redis_and_a_wrong_command_are_no_reason_for_another_connection() -> None:
    assert not redis_types.condemns(OutOfMemoryError("command not allowed"))
    assert not redis_types.condemns(ResponseError("WRONGTYPE Operation against a key"))
