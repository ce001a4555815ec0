"""Limits of HTTP that a service reads from its environment, such as ORDER_HTTP_CONNECTIONS_MAX."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, TypeAlias

from pydantic import BaseModel, BeforeValidator, Field
from pydantic_settings import NoDecode

Network: TypeAlias = IPv4Network | IPv6Network
Bytes: TypeAlias = Annotated[int, Field(ge=64, le=1024 * 1024)]
Patience: TypeAlias = Annotated[float, Field(gt=0, le=3600)]
"""Of the server with a client, in seconds."""
Drain: TypeAlias = Annotated[float, Field(ge=0, le=600)]


def _networks(value: object) -> object:
    """Raises ValueError for what is no address and no network (CIDR); `none` is no network at all."""
    if not isinstance(value, str):
        return value
    parts = () if value == "none" else value.split(",")
    return tuple(ip_network(part.strip()) for part in parts)


class HttpLimits(BaseModel):
    """What one connection, one address and all of them may take of a process; see docs/settings.md.

    `http_trusted` are networks whose addresses have no limit of their own: this machine and the
    balancers. Times are seconds.
    """

    http_request_line_max_bytes: Bytes = 8 * 1024
    http_headers_max_bytes: Bytes = 32 * 1024
    http_headers_max: int = Field(default=100, ge=1, le=10_000)
    http_first_byte_timeout_s: Patience = 10.0
    http_head_timeout_s: Patience = 10.0
    http_body_timeout_s: Patience = 20.0
    http_idle_timeout_s: Patience = 75.0
    http_write_timeout_s: Patience = 20.0
    http_connections_max: int = Field(default=4096, ge=1, le=1_000_000)
    http_connections_per_address_max: int = Field(default=256, ge=1, le=1_000_000)
    http_trusted: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)] = (
        ip_network("127.0.0.0/8"),
        ip_network("::1/128"),
    )
    http_drain_s: Drain = 0.0
