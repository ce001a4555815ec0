"""Who is connected over HTTP: how many in all and from each address, and who of them is idle."""

import resource
from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, Protocol

import structlog

from chassis.metrics import HTTP_CONNECTIONS, HTTP_REFUSED
from chassis.process.settings import HttpLimits

log = structlog.get_logger()
FILES_ELSE: Final = 256
"""Open files that are left to databases, brokers and logs."""
REFUSALS_MAX: Final = 256
"""Connections beyond the limit that are told so; what comes on top is reset."""
SITE_BITS: Final = 64
"""What one party has of IPv6 addresses at the least."""


class HttpConnection(Protocol):
    address: str

    def evict(self) -> None:
        """Close it, as it is idle."""


@dataclass(eq=False)
class Connections:
    """The table of a process. Limits hold for what is admitted; who is refused lingers a moment."""

    service: str
    limits: HttpLimits
    draining: bool = False
    most: int = field(init=False)
    _open: set[HttpConnection] = field(default_factory=set)
    _admitted: dict[HttpConnection, str] = field(default_factory=dict)
    _idle: OrderedDict[HttpConnection, None] = field(default_factory=OrderedDict)
    _by_origin: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.most = self.limits.http_connections_max
        if files != resource.RLIM_INFINITY and files - FILES_ELSE < self.most:
            self.most = max(1, files - FILES_ELSE)
            log.warning("http_connections_limited", to=self.most, by="open files (ulimit -n)")

    @property
    def is_flooded(self) -> bool:
        return len(self._open) > self.most + REFUSALS_MAX

    def admit(self, connection: HttpConnection) -> bool:
        """Count a connection that was accepted; False if it has to be refused.

        In a full table the one that has been idle the longest makes room.
        """
        self._open.add(connection)
        origin = origin_of(connection.address, self.limits.http_trusted)
        if origin and self._by_origin[origin] >= self.limits.http_connections_per_address_max:
            return False
        if len(self._admitted) >= self.most:
            if not self._idle:
                return False
            oldest, _ = self._idle.popitem(last=False)
            self._leave(oldest)
            self.refused("idle_in_a_full_table")
            oldest.evict()
        self._admitted[connection] = origin
        self._by_origin[origin] += 1
        HTTP_CONNECTIONS.labels(self.service).set(len(self._admitted))
        return True

    def release(self, connection: HttpConnection) -> None:
        self._open.discard(connection)
        self._leave(connection)
        HTTP_CONNECTIONS.labels(self.service).set(len(self._admitted))

    def idle(self, connection: HttpConnection) -> None:
        if connection in self._admitted:
            self._idle[connection] = None
            self._idle.move_to_end(connection)

    def busy(self, connection: HttpConnection) -> None:
        self._idle.pop(connection, None)

    def refused(self, why: str) -> None:
        HTTP_REFUSED.labels(self.service, why).inc()

    def _leave(self, connection: HttpConnection) -> None:
        self._idle.pop(connection, None)
        origin = self._admitted.pop(connection, None)
        if origin is not None:
            self._by_origin[origin] -= 1
            if not self._by_origin[origin]:
                del self._by_origin[origin]


def origin_of(text: str, trusted: Iterable[IPv4Network | IPv6Network]) -> str:
    """The party behind an address; "" for one that is trusted."""
    try:
        address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    except ValueError:  # a Unix socket has none
        return ""
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    if any(address in network for network in trusted):
        return ""
    if isinstance(address, IPv4Address):
        return str(address)
    return str(int(address) >> (128 - SITE_BITS))
