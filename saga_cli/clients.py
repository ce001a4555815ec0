"""Clients of the servers that a command reads; an error of theirs is one line, and exit code 2."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg
from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from saga_cli.log.source import HoleError, UnreadableError
from saga_cli.terminal import fail, message_of

UNAVAILABLE = (HoleError, UnreadableError, KafkaError, RedisError, asyncpg.PostgresError, OSError)


@contextmanager
def in_one_line(*more: type[Exception]) -> Iterator[None]:
    """`more` are other errors that end the command as those of the servers do."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # its errors are printed here
    try:
        yield
    except (*UNAVAILABLE, *more) as error:
        fail(message_of(error))


@asynccontextmanager
async def database(url: str, timeout_s: float = 30) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url, timeout=timeout_s)
    try:
        yield connection
    finally:
        await connection.close()
