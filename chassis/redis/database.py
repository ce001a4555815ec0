"""A numbered database of Redis: where it is, and how a user is let in."""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self, TypeVar
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from redis.asyncio import Connection, Redis, SSLConnection
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
)
from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from chassis.errors import CannotStartError, SecretError
from chassis.process.settings import RedisSettings
from chassis.redis.types import AWAY
from chassis.secret import NO_SECRET, Secret, secret_of
from chassis.tls import fault_of, trusting
from chassis.urls import redis_url, sentinel_places, with_password

CA_PARAMETER: Final = "ssl_ca_certs"
IN_A_SCRIPT: Final = re.compile(r"ACL failure in script|The user executing the script can't")
CAUSES_MAX: Final = 5
CHECK_S: Final = 10.0
ASK_S: Final = 1.0
"""A sentinel that has not answered by then is passed over."""
E = TypeVar("E", bound=Exception)


class TlsConnection(SSLConnection):
    """Its context is made for each connection anew, as certificates are renewed; it trusts no others."""

    def _connection_arguments(self) -> Mapping[str, Any]:
        context = trusting(self.ca_certs or "")
        return {**Connection._connection_arguments(self), "ssl": context}  # noqa: SLF001 - its parent's


class WatchedTlsConnection(SentinelManagedConnection, TlsConnection):
    """To the primary that sentinels name, with TLS."""


class WatchedPool(SentinelConnectionPool):
    """Takes its connections to the sentinels with it."""

    async def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002 - as its parent's
        await super().disconnect(inuse_connections)
        if inuse_connections:
            await self.sentinel_manager.aclose()


@dataclass(frozen=True, slots=True)
class RedisDatabase:
    """`url` is redis://user:password@host:port/number, or rediss:// with TLS.

    The password may be given apart from it, and so may the authority whose certificates are trusted,
    which are checked in any case, the host too. `setting` is what the variables begin with, such as
    LOYALTY_REDIS. Each connection is made with what the files hold then.

    `sentinels` are hosts with ports; the URL's host is the name that they have for the primary then, and
    each connection is made to whom they name.
    """

    url: Secret
    password: Secret = NO_SECRET
    ca_file: str = ""
    setting: str = ""
    sentinels: tuple[tuple[str, int], ...] = ()
    sentinel_password: Secret = NO_SECRET

    @classmethod
    def at(cls, url: str) -> Self:
        return cls(Secret(url))

    @classmethod
    def of(cls, settings: RedisSettings) -> Self:
        ca_file, setting = str(settings.redis_ca_file or ""), f"{settings.prefix}_REDIS"
        watched = settings.redis_sentinels, settings.redis_sentinel_password
        return cls(settings.redis_url, settings.redis_password, ca_file, setting, *watched)

    @classmethod
    def given(cls, variables: Mapping[str, str], prefix: str) -> Self | None:
        """As the variables of a service say it; None if they do not.

        Raises ValueError for what is malformed or given twice.
        """
        setting = f"{prefix}_REDIS"
        url = secret_of(variables, f"{setting}_URL")
        if not url:
            return None
        redis_url(url.read())
        password = secret_of(variables, f"{setting}_PASSWORD")
        ca_file, watched = variables.get(f"{setting}_CA_FILE", ""), f"{setting}_SENTINEL"
        named = variables.get(f"{watched}S", "")
        places = sentinel_places(named) if named else ()
        secret = secret_of(variables, f"{watched}_PASSWORD")
        return cls(url, password, ca_file, setting, places, secret)

    def full_url(self) -> str:
        """With the password and the file in it, for a client that takes nothing else. Raises SecretError."""
        parts = urlsplit(with_password(self.url.read(), self.password.read()))
        if self.ca_file:
            query = dict(parse_qsl(parts.query)) | {CA_PARAMETER: self.ca_file}
            parts = parts._replace(query=urlencode(query))
        return parts.geturl()

    def client(self, **options: Any) -> Redis:
        """Its connections log in by themselves. Raises SecretError."""
        parts = urlsplit(self.url.read())
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2])
        if parts.scheme == "rediss":
            options |= {CA_PARAMETER: self.ca_file} if self.ca_file else {}
        if parts.username or parts.password or self.password:
            options |= {"credential_provider": Login(self)}
        # To tell its name takes a right that release 7.0 does not know.
        options["driver_info"] = None
        if self.sentinels:
            return self._watched(bare, options)
        redis = Redis.from_url(bare.geturl(), **options)
        # The URL decides on the class, whatever the options say.
        if parts.scheme == "rediss":
            redis.connection_pool.connection_class = TlsConnection
        return redis

    def _watched(self, parts: SplitResult, options: Mapping[str, Any]) -> Redis:
        """A client of the primary that the sentinels name; one that is deposed is left by itself."""
        asked: dict[str, Any] = {"socket_timeout": ASK_S, "socket_connect_timeout": ASK_S}
        if self.sentinel_password:
            asked["password"] = self.sentinel_password.read()
        has_tls = parts.scheme == "rediss"
        watching: Any = Sentinel  # it has no types
        redis: Redis = watching(self.sentinels, sentinel_kwargs=asked).master_for(
            parts.netloc,
            connection_pool_class=WatchedPool,
            connection_class=WatchedTlsConnection if has_tls else SentinelManagedConnection,
            db=int(parts.path.strip("/") or 0),
            **options,
        )
        return redis

    async def check(self) -> None:
        """Raises CannotStartError where Redis refuses us; one that is away will come back."""
        try:
            async with self.client(socket_timeout=CHECK_S) as redis:
                await redis.ping()
        except SecretError as error:
            raise CannotStartError(f"Redis refuses us: {error}", code=2) from error
        except AWAY as error:
            if why := self.explained(error):
                raise CannotStartError(f"Redis refuses us: {why}", code=2) from error

    def explained(self, error: BaseException) -> str:
        """What Redis refuses us for, with the setting to look at; "" for any other error."""
        if unread := _caused(error, SecretError):
            return str(unread)
        if fault := _caused(error, ssl.SSLError):
            found = fault_of(fault)
            is_ca = found.setting == "ca_file" and self.ca_file
            return f"{self._variable('ca_file' if is_ca else 'url')}: {found.why}"
        text = " ".join(str(error).split())
        if isinstance(error, AuthenticationError):
            return f"{self._variable('password' if self.password else 'url')}: {text}"
        is_denied = isinstance(error, NoPermissionError)
        if is_denied or (isinstance(error, ResponseError) and IN_A_SCRIPT.search(text) is not None):
            return f"{self._variable('url')}: its user lacks a right: {text}"
        return ""

    def _variable(self, name: str) -> str:
        match name:
            case "ca_file":
                return f"{self.setting}_CA_FILE"
            case "password":
                return self.password.variable
            case _:
                return self.url.variable or "its URL"


@dataclass(frozen=True, slots=True)
class Login(CredentialProvider):
    """The user and the password as they are given at the time of a connection. Raises AccessError."""

    database: RedisDatabase

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        parts = urlsplit(self.database.url.read())
        password = self.database.password.read() or unquote(parts.password or "")
        return (unquote(parts.username), password) if parts.username else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        return self.get_credentials()


def _caused(error: BaseException | None, kind: type[E]) -> E | None:
    """The client raises errors of its own while it handles those of the connection."""
    for _ in range(CAUSES_MAX):
        if isinstance(error, kind) or error is None:
            return error
        error = error.__cause__ or error.__context__
    return None
