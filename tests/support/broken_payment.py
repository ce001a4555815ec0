"""A payment service whose database refuses every row for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, LiteralString

import httpx
import psycopg

from saga_cli.stack.services import Services
from saga_cli.topology import BY_NAME

BREAK: Final = "ALTER TABLE payments ADD CONSTRAINT broken CHECK (false) NOT VALID"
MEND: Final = "ALTER TABLE payments DROP CONSTRAINT IF EXISTS broken"


@contextmanager
def payment_broken(stack: Services) -> Iterator[None]:
    """However a test ends, the orders that waited go on."""
    _in_payment(stack, BREAK)
    try:
        yield
    finally:
        mend(stack)
        url = f"{stack.url('payment')}/ops/dead-letters"
        for head in httpx.get(url).json()["heads"]:
            httpx.post(f"{url}/redrive", json={"key": head["key"]}).raise_for_status()


def mend(stack: Services) -> None:
    _in_payment(stack, MEND)


def _in_payment(stack: Services, statement: LiteralString) -> None:
    url = stack.addresses.owner_url(BY_NAME["payment"])
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)
