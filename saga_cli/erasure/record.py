"""The record of an erasure, with a signature: what was erased, when and by whom. It has no personal data."""

import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from pydantic_core import to_json

from chassis.errors import SecretError
from saga_cli.stack.state import make_private, write_private
from saga_cli.targets import secret_in_environment
from saga_cli.terminal import CommandError

KEY: Final = "SAGA_ERASURE_KEY"
KEY_FILE: Final = Path(".saga") / "erasure.key"
INSERT: Final = """
INSERT INTO erasures (id, at, by, pseudonym, orders, signature) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (id) DO NOTHING
"""
SELECT: Final = (
    'SELECT id, at, by, pseudonym, orders, signature FROM erasures ORDER BY at, id COLLATE "C"'
)


@dataclass(frozen=True, slots=True)
class ErasureRecord:
    """`id` is the pseudonym of an erased customer, or the id of an order that was erased by itself."""

    id: str
    at: datetime
    by: str
    pseudonym: str
    orders: tuple[str, ...]
    signature: str = ""

    def signed(self, key: bytes) -> str:
        """HMAC-SHA256 over all other fields, in hexadecimal."""
        parts = [self.id, self.at.isoformat(), self.by, self.pseudonym, self.orders]
        return hmac.new(key, to_json(parts), sha256).hexdigest()

    def is_genuine(self, key: bytes) -> bool:
        return hmac.compare_digest(self.signature, self.signed(key))

    async def write(self, connection: Any, key: bytes) -> None:
        """An erasure that is repeated keeps its first record."""
        values = (self.id, self.at, self.by, self.pseudonym, list(self.orders), self.signed(key))
        await connection.execute(INSERT, *values)


async def records(connection: Any) -> list[ErasureRecord]:
    rows = map(dict, await connection.fetch(SELECT))
    return [ErasureRecord(**{**row, "orders": tuple(row["orders"])}) for row in rows]


def signing_key() -> bytes:
    """SAGA_ERASURE_KEY, or the file that SAGA_ERASURE_KEY_FILE names; else this folder's own, made once."""
    if given := secret_in_environment(KEY):
        try:
            return given.read().encode()
        except SecretError as error:
            raise CommandError(str(error)) from error
    if not KEY_FILE.exists():
        make_private(KEY_FILE.parent)
        write_private(KEY_FILE, secrets.token_hex(32))
    return KEY_FILE.read_bytes()
