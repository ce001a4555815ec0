"""Connections to Redis: with TLS, and as a user whose secret may change."""

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Connection, SSLConnection
from redis.asyncio.sentinel import SentinelConnectionPool, SentinelManagedConnection
from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError

from chassis.errors import SecretError
from chassis.tls import trusting


class TlsConnection(SSLConnection):
    """Its context is made for each connection anew, as certificates are renewed; it trusts no others."""

    def _connection_arguments(self) -> Mapping[str, Any]:
        context = trusting(self.ca_certs or "")
        return {**Connection._connection_arguments(self), "ssl": context}  # noqa: SLF001 - its parent's

    async def _connect(self) -> None:
        """One without TLS waits for more of what it takes for a command."""
        try:
            await super()._connect()  # type: ignore[no-untyped-call]  # the client's
        except TimeoutError as error:
            raise OSError(errno.EPROTO, "no connection with TLS in time") from error


class WatchedTlsConnection(SentinelManagedConnection, TlsConnection):
    """To the primary that sentinels name, with TLS."""


class WatchedPool(SentinelConnectionPool):
    """Takes its connections to the sentinels with it."""

    async def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002 - as its parent's
        await super().disconnect(inuse_connections)
        if inuse_connections:
            await self.sentinel_manager.aclose()


@dataclass(frozen=True, slots=True)
class Login(CredentialProvider):
    """`given` are the user, or "", and the password at the time of a connection.

    Raises AuthenticationError where they can't be read: of its own errors alone the client ends the
    connection, which would be used without a login else.
    """

    given: Callable[[], tuple[str, str]]

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        try:
            user, password = self.given()
        except SecretError as error:
            raise AuthenticationError(str(error)) from error
        return (user, password) if user else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        return self.get_credentials()
