"""Sentinels: who the primary of a Redis is, as they have it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from redis.asyncio import Connection, ConnectionPool, Redis
from redis.exceptions import ConnectionError as LostConnectionError
from redis.exceptions import ResponseError

from chassis.process.settings import RedisSettings, SentinelPlaces
from chassis.redis.connections import Login, TlsConnection
from chassis.redis.faults import AccessFault, fault_of, text_of
from chassis.redis.types import AWAY
from chassis.secret import NO_SECRET, Secret, secret_of
from chassis.urls import sentinel_places

ASK_S: Final = 1.0
"""A sentinel that has not answered by then is passed over."""


@dataclass(frozen=True, slots=True)
class SentinelAccess:
    """Where they are, and the user that they know, which is none of the primary's.

    With a password and without a user it is that of their user `default`.
    """

    places: SentinelPlaces = ()
    user: str = ""
    password: Secret = NO_SECRET

    @classmethod
    def of(cls, settings: RedisSettings) -> Self:
        login = settings.redis_sentinel_user, settings.redis_sentinel_password
        return cls(settings.redis_sentinels, *login)

    @classmethod
    def given(cls, variables: Mapping[str, str], setting: str) -> Self:
        """`setting` is what the variables begin with, such as LOYALTY_REDIS. Raises ValueError."""
        named = variables.get(f"{setting}_SENTINELS", "")
        user = variables.get(f"{setting}_SENTINEL_USER", "")
        password = secret_of(variables, f"{setting}_SENTINEL_PASSWORD")
        return cls(sentinel_places(named) if named else (), user, password)

    def __bool__(self) -> bool:
        return bool(self.places)

    def login(self) -> tuple[str, str]:
        return self.user, self.password.read()


class NoPrimaryError(LostConnectionError):
    """No sentinel names a primary that is up; `fault` is why, where a setting is wrong."""

    def __init__(self, why: str, fault: AccessFault | None = None) -> None:
        super().__init__(why)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class SentinelAnswer:
    """Of one sentinel: the primaries that it knows, by name, or the error that it gave."""

    place: str
    primaries: Mapping[str, Any] = field(default_factory=dict)
    error: BaseException | None = None

    def address_of(self, name: str) -> tuple[str, int] | None:
        found = self.primaries.get(name)
        if not found or not found["is_master"] or found["is_sdown"] or found["is_odown"]:
            return None
        return found["ip"], found["port"]

    @property
    def fault(self) -> AccessFault | None:
        if isinstance(self.error, ResponseError) and "unknown command" in str(self.error):
            return AccessFault("url", f"it is no sentinel: {text_of(self.error)}")
        return fault_of(self.error) if self.error else None


@dataclass(frozen=True, slots=True)
class SentinelClient:
    place: str
    redis: Redis

    @classmethod
    def of(
        cls, host: str, port: int, access: SentinelAccess, tls: Mapping[str, Any] | None
    ) -> Self:
        """`tls` are options of connections with TLS; None is without. None of it is tried a second time."""
        options: dict[str, Any] = {"host": host, "port": port, "driver_info": None, **(tls or {})}
        options |= {"socket_timeout": ASK_S, "socket_connect_timeout": ASK_S}
        if access.password:
            options["credential_provider"] = Login(access.login)
        pool = ConnectionPool(Connection if tls is None else TlsConnection, **options)
        return cls(f"{host}:{port}", Redis.from_pool(pool))

    async def answer(self) -> SentinelAnswer:
        try:
            primaries: Any = await self.redis.sentinel_masters()
        except AWAY as error:
            return SentinelAnswer(self.place, error=error)
        return SentinelAnswer(self.place, primaries)


@dataclass
class SentinelClients:
    """The one that named the primary last is asked first, and all others at once where it does not."""

    clients: list[SentinelClient]

    @classmethod
    def of(cls, access: SentinelAccess, tls: Mapping[str, Any] | None) -> Self:
        return cls([SentinelClient.of(*place, access, tls) for place in access.places])

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """Called so by the client's pool. Raises NoPrimaryError."""
        clients, answers = tuple(self.clients), list[SentinelAnswer]()
        for some in (clients[:1], clients[1:]):
            answers += await asyncio.gather(*(client.answer() for client in some))
            for client, answer in zip(clients, answers, strict=False):
                if address := answer.address_of(service_name):
                    self.clients.sort(key=lambda each: each is not client)
                    return address
        raise no_primary(service_name, answers)

    async def aclose(self) -> None:
        await asyncio.gather(*(client.redis.aclose() for client in self.clients))


def no_primary(name: str, answers: Sequence[SentinelAnswer]) -> NoPrimaryError:
    """What a person can act on comes first, but a failover that is under way before it."""
    for answer in answers:
        if name in answer.primaries:
            return NoPrimaryError(f"sentinel {answer.place} has {name!r} as down")
    for answer in answers:
        if fault := answer.fault:
            why = f"sentinel {answer.place}: {fault.why}"
            refused = NoPrimaryError(why, AccessFault(fault.setting, why))
            refused.__cause__ = answer.error
            return refused
    for answer in answers:
        if answer.error is None:
            others = ", ".join(sorted(answer.primaries)) or "none at all"
            why = f"sentinel {answer.place} knows no primary {name!r}: it knows {others}"
            return NoPrimaryError(why, AccessFault("name", why))
    errors = (f"{a.place}: {text_of(a.error)}" for a in answers if a.error)
    return NoPrimaryError(f"no sentinel answers: {'; '.join(errors)}")
