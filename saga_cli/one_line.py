"""What ails the log or the servers is told in one line, and the command ends with 2."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from saga_cli.log.source import HoleError, UnreadableError
from saga_cli.terminal import fail, message_of

UNAVAILABLE = (HoleError, UnreadableError, KafkaError, RedisError, asyncpg.PostgresError, OSError)


@contextmanager
def in_one_line() -> Iterator[None]:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it is told here
    try:
        yield
    except UNAVAILABLE as error:
        fail(message_of(error))
