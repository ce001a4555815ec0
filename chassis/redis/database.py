"""A numbered database of Redis: where it is, and how a user is let in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from redis.asyncio import Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.sentinel import SentinelManagedConnection

from chassis.errors import CannotStartError, SecretError, cause_of
from chassis.process.settings import RedisSettings
from chassis.redis.connections import Login, TlsConnection, WatchedPool, WatchedTlsConnection
from chassis.redis.faults import FaultySetting, fault_of
from chassis.redis.sentinels import NoPrimaryError, SentinelAccess, SentinelClients
from chassis.redis.types import AWAY
from chassis.secret import NO_SECRET, Secret, secret_of
from chassis.urls import redis_url, with_password

CA_PARAMETER: Final = "ssl_ca_certs"
CHECK_S: Final = 10.0
NO_SENTINELS: Final = SentinelAccess()


@dataclass(frozen=True, slots=True)
class RedisDatabase:
    """`url` is redis://user:password@host:port/number, or rediss:// with TLS.

    The password may be given apart from it, and so may the authority whose certificates are trusted,
    which are checked in any case, the host too. `setting` is what the variables begin with, such as
    LOYALTY_REDIS. Each connection is made with what the files hold then.

    With `sentinels` the URL's host is the name that they have for the primary, and each connection is made
    to whom they name; they are asked with TLS where it is.
    """

    url: Secret
    password: Secret = NO_SECRET
    ca_file: str = ""
    setting: str = ""
    sentinels: SentinelAccess = NO_SENTINELS

    @classmethod
    def at(cls, url: str) -> Self:
        return cls(Secret(url))

    @classmethod
    def of(cls, settings: RedisSettings) -> Self:
        ca_file, setting = str(settings.redis_ca_file or ""), f"{settings.prefix}_REDIS"
        access = settings.redis_url, settings.redis_password, ca_file
        return cls(*access, setting, SentinelAccess.of(settings))

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
        ca_file = variables.get(f"{setting}_CA_FILE", "")
        return cls(url, password, ca_file, setting, SentinelAccess.given(variables, setting))

    def full_url(self) -> str:
        """With the password and the file in it, for a client that takes nothing else.

        Raises SecretError, and ValueError where its host is no address, but a name that sentinels know.
        """
        parts = urlsplit(with_password(self.url.read(), self.password.read()))
        if self.sentinels and parts.port is None:
            raise ValueError("sentinels are not asked here: give the address of the primary")
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
            options |= {"credential_provider": Login(self._login)}
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
        is_tls = parts.scheme == "rediss"
        kind = WatchedTlsConnection if is_tls else SentinelManagedConnection
        given: dict[str, Any] = {**parse_url(parts.geturl()), **options, "connection_class": kind}
        of_pool = {name: value for name, value in given.items() if name != "host"}
        tls = {name: value for name, value in given.items() if name == CA_PARAMETER}
        sentinels = SentinelClients.of(self.sentinels, tls if is_tls else None)
        watching: Any = WatchedPool  # it has no types
        return Redis.from_pool(watching(parts.netloc, sentinels, **of_pool))

    def _login(self) -> tuple[str, str]:
        parts = urlsplit(self.url.read())
        return unquote(parts.username or ""), self.password.read() or unquote(parts.password or "")

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
        """What Redis or a sentinel refuses us for, with the setting to look at; "" for any other error."""
        if unread := cause_of(error, SecretError):
            return str(unread)
        unnamed = cause_of(error, NoPrimaryError)
        fault = unnamed.fault if unnamed else fault_of(error)
        if fault is None:
            return ""
        variable = self._variable_of_sentinels if unnamed else self._variable
        return f"{variable(fault.setting)}: {fault.why}"

    def _variable(self, name: FaultySetting) -> str:
        if name == "ca_file" and self.ca_file:
            return f"{self.setting}_CA_FILE"
        if name == "password" and self.password:
            return self.password.variable
        return self.url.variable or "its URL"

    def _variable_of_sentinels(self, name: FaultySetting) -> str:
        match name:
            case "name":
                return self._variable(name)
            case "password":
                return self.sentinels.password.variable or f"{self.setting}_SENTINEL_PASSWORD"
            case "user":
                return f"{self.setting}_SENTINEL_USER"
            case "ca_file" if self.ca_file:
                return self._variable(name)
            case _:
                return f"{self.setting}_SENTINELS"
