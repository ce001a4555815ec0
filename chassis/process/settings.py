"""Settings that every service has; each reads them with its own prefix, such as ORDER_HTTP_PORT."""

import re
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Final, Literal, TypeAlias
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    SecretStr,
    StringConstraints,
)
from pydantic_core import from_json
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from chassis.topic_layout import TopicLayout


class FastPath(StrEnum):
    """What is laid over the path of a message (docs/architecture.md says where each is put on)."""

    STATE_CACHE = "state-cache"
    """States are not read again by the process that wrote them."""
    RECENT_OUTBOX_ROWS = "recent-outbox-rows"
    """The relay does not read back what its own process wrote."""
    LOCAL_EFFECTS = "local-effects"
    """Effects are run by the process that decided on them, without a look at the store."""
    LOCAL_WAITERS = "local-waiters"
    """A request that waits for its saga is answered by the commit of its own process, not by a poll."""
    HTTP = "http"
    """The most frequent POST goes past FastAPI's reading of parameters."""


ALL_FAST_PATHS: Final = frozenset(FastPath)


def json_of(value: object) -> object:
    """What a variable's JSON says. Raises ValueError for a text that is none."""
    return from_json(value) if isinstance(value, str) else value


Currency = Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")]
_PLACE: Final = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s:,/@\[\]]+)(?::(\d{1,5}))?")
_HIGHEST_PORT: Final = 65535


def bootstrap_servers(text: str) -> str:
    """The text as it is. Raises ValueError unless it is host:port, or several of them."""
    if not all(_is_place(broker.strip(), port=True) for broker in text.split(",")):
        raise ValueError("a broker is host:port; several have commas between")
    return text


def postgres_url(text: str) -> str:
    """The text as it is. Raises ValueError, which never quotes it: it holds a password.

    It may name several hosts, with commas between.
    """
    like = "postgresql://role:password@host:port/database"
    url = _split(text, {"postgresql", "postgres"}, like, hosts=9)
    if not url.path.strip("/"):
        raise ValueError(f"the database is missing in a URL such as {like}")
    return text


def redis_url(text: str) -> str:
    """As `postgres_url`."""
    like = "redis://host:port/number"
    url = _split(text, {"redis", "rediss"}, like)
    if not re.fullmatch(r"/?|/\d{1,5}", url.path):
        raise ValueError(f"the database of a URL such as {like} is a number")
    return text


def http_url(text: str) -> str:
    """As `postgres_url`."""
    _split(text, {"http", "https"}, "http://host:port")
    return text


def _split(text: str, schemes: set[str], like: str, hosts: int = 1) -> SplitResult:
    try:
        url = urlsplit(text)
    except ValueError as error:
        raise ValueError(f"no URL such as {like}: its host is malformed") from error
    places = url.netloc.rpartition("@")[2].split(",")
    if url.scheme not in schemes or len(places) > hosts or any(c.isspace() for c in text):
        raise ValueError(f"no URL such as {like}")
    if not all(map(_is_place, places)):
        raise ValueError(f"no host and port as in {like}")
    return url


def _is_place(text: str, *, port: bool = False) -> bool:
    """Is it a host with a port, or where that is not asked for, without one?"""
    found = _PLACE.fullmatch(text)
    if found is None or found[1] is None:
        return found is not None and not port
    return 1 <= int(found[1]) <= _HIGHEST_PORT


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _named(value: object) -> object:
    """Fast paths by name, with commas between; `all` or `none` of them."""
    if not isinstance(value, str):
        return value
    names = [name.strip() for name in value.split(",")]
    if names in (["all"], ["none"]):
        return ALL_FAST_PATHS if names == ["all"] else frozenset[FastPath]()
    if unknown := [name for name in names if name not in set(FastPath)]:
        known = ", ".join(FastPath)
        raise ValueError(f"there is no fast path {unknown[0]!r}: all, none, or some of {known}")
    return frozenset(map(FastPath, names))


def _for_a_header(secret: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]*", secret.get_secret_value()):
        raise ValueError("a token is of visible ASCII characters")
    return secret


Bootstrap: TypeAlias = Annotated[str, AfterValidator(bootstrap_servers)]
PostgresUrl: TypeAlias = Annotated[str, AfterValidator(postgres_url)]
RedisUrl: TypeAlias = Annotated[str, AfterValidator(redis_url)]
HttpUrl: TypeAlias = Annotated[str, AfterValidator(http_url)]
LogLevel: TypeAlias = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_upper)
]
Seconds: TypeAlias = Annotated[float, Field(ge=0, le=366 * 24 * 3600)]
"""Of a wait; what is longer than a year is a mistake, and not even a date any more."""
PositiveSeconds: TypeAlias = Annotated[float, Field(gt=0, le=366 * 24 * 3600)]
FastPaths: TypeAlias = Annotated[frozenset[FastPath], NoDecode, BeforeValidator(_named)]
Days: TypeAlias = Annotated[int, Field(ge=0, le=36_500)]


Network: TypeAlias = IPv4Network | IPv6Network
Bytes: TypeAlias = Annotated[int, Field(ge=64, le=1024 * 1024)]
Patience: TypeAlias = Annotated[float, Field(gt=0, le=3600)]
"""Of the server with a client, in seconds."""
DrainSeconds: TypeAlias = Annotated[float, Field(ge=0, le=600)]


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
    http_drain_s: DrainSeconds = 0.0


class ServiceSettings(HttpLimits, BaseSettings):
    """Read once, at start; a missing or malformed one fails the start with its name.

    Without an `operator_token` the operators' routes answer nobody. What was published is kept for
    `outbox_keep_days` more days, as a broker may lose what it has acknowledged. Port 0 is any that is
    free. `fast_paths` are `all`, `none`, or names with commas between. Under load a loop takes a batch
    each `batch_every_ms` milliseconds; 0 takes each as soon as it can. `topic_layout` is
    another than `lanes` while a system moves from topics of before (docs/topics.md).
    """

    kafka_bootstrap: Bootstrap
    http_host: str = Field(default="127.0.0.1", min_length=1, pattern=r"^\S+$")
    http_port: int = Field(default=8000, ge=0, le=_HIGHEST_PORT)
    log_level: LogLevel = "INFO"
    operator_token: Annotated[SecretStr, AfterValidator(_for_a_header)] = SecretStr("")
    outbox_keep_days: Days = 7
    fast_paths: FastPaths = ALL_FAST_PATHS
    batch_every_ms: int = Field(default=25, ge=0, le=1000)
    topic_layout: TopicLayout = TopicLayout.LANES


class PostgresSettings(ServiceSettings):
    """A service with a database of its own: postgresql://role:password@host:port/name.

    Which messages were decided, and what requests were answered, is known for `inbox_keep_days`: longer
    than anything is delivered again, and than a saga takes to come to its last state.
    """

    database_url: PostgresUrl
    inbox_keep_days: Annotated[Days, Field(ge=1)] = 30

    @property
    def kept(self) -> dict[str, int]:
        """For how many days, as a store takes it."""
        return {"keep_days": self.outbox_keep_days, "inbox_keep_days": self.inbox_keep_days}


class ProviderSettings(PostgresSettings):
    """A service that calls an outside party: at most so many calls at once, each for so long."""

    provider_concurrency: int = Field(default=50, ge=1, le=10_000)
    provider_timeout_s: PositiveSeconds = 10.0


class TracingSettings(BaseSettings):
    """OpenTelemetry's own variable; without it no span is kept."""

    model_config = SettingsConfigDict(env_prefix="OTEL_EXPORTER_OTLP_", env_ignore_empty=True)

    endpoint: HttpUrl | None = None
