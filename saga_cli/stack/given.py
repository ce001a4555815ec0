"""The addresses of servers that somebody else runs, as the environment gives them."""

import os
from typing import Final

from chassis.process.settings import bootstrap_servers, postgres_url, redis_url

GIVEN: Final = ("SAGA_KAFKA_BOOTSTRAP", "SAGA_POSTGRES_URL", "SAGA_REDIS_URL")
SHAPES: Final = (bootstrap_servers, postgres_url, redis_url)


class MissingAddressError(Exception):
    """Some of the three servers' addresses are given and some are not, or one is malformed."""


def given() -> dict[str, str]:
    """The servers' addresses that the environment names, "" for each that it does not.

    Raises MissingAddressError for a malformed one.
    """
    found = {name: os.environ.get(name, "") for name in GIVEN}
    for (name, text), check in zip(found.items(), SHAPES, strict=True):
        try:
            check(text) if text else None
        except ValueError as error:
            raise MissingAddressError(f"{name}: {error}") from error
    return found
