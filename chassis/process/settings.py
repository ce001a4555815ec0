"""Settings that every service has; each reads them with its own prefix, such as ORDER_HTTP_PORT."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
)
from pydantic_core import from_json
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from chassis.kafka import SESSION_S, SessionTimeout
from chassis.process.kafka_settings import KafkaSettings, upper
from chassis.secret import NO_SECRET, Secret, SecretSettings
from chassis.topic_layout import TopicLayout
from chassis.urls import (
    HIGHEST_PORT,
    confidential_url,
    http_url,
    postgres_url,
    redis_url,
    sentinel_places,
    split,
)


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


def _holding(check: Callable[[str], str]) -> Callable[[Secret], Secret]:
    def checked(secret: Secret) -> Secret:
        check(secret.read())
        return secret

    return checked


def _only_password(password: Secret, url: Secret | None) -> Secret:
    """The password as it is. Raises ValueError where its URL has one too, or is not there."""
    if password and url is None:
        raise ValueError("it has no effect without a valid URL")
    if password and url is not None and urlsplit(url.read()).password:
        raise ValueError("the URL holds a password too")
    return password


PostgresUrl: TypeAlias = Annotated[Secret, AfterValidator(_holding(postgres_url))]
RedisUrl: TypeAlias = Annotated[Secret, AfterValidator(_holding(redis_url))]
"""Secrets, as they may hold a password."""
HttpUrl: TypeAlias = Annotated[str, AfterValidator(http_url)]
ConfidentialUrl: TypeAlias = Annotated[str, AfterValidator(confidential_url)]
LogLevel: TypeAlias = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(upper)
]
Seconds: TypeAlias = Annotated[float, Field(ge=0, le=366 * 24 * 3600)]
"""Of a wait; what is longer than a year is a mistake, and not even a date any more."""
PositiveSeconds: TypeAlias = Annotated[float, Field(gt=0, le=366 * 24 * 3600)]
Milliseconds: TypeAlias = Annotated[int, Field(ge=0, le=1000)]
FastPaths: TypeAlias = Annotated[frozenset[FastPath], NoDecode, BeforeValidator(_named)]
Days: TypeAlias = Annotated[int, Field(ge=0, le=36_500)]


SentinelPlaces: TypeAlias = tuple[tuple[str, int], ...]


def _places(value: object) -> object:
    return sentinel_places(value) if isinstance(value, str) else value


Sentinels: TypeAlias = Annotated[SentinelPlaces, NoDecode, BeforeValidator(_places)]


def _readable(file: Path) -> Path:
    try:
        with file.open("rb"):
            return file
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from error


ReadableFile: TypeAlias = Annotated[Path, AfterValidator(_readable)]
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


@dataclass(frozen=True, slots=True)
class RequestRate:
    """So many requests in so many seconds."""

    requests: int
    seconds: int


def _rate(value: object) -> object:
    """Raises ValueError for a text that is no number of requests and of seconds, with a slash between."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"([1-9]\d{0,8})/([1-9]\d{0,4})", value)
    if found is None:
        raise ValueError("a rate is requests/seconds, such as 100/60")
    return RequestRate(int(found[1]), int(found[2]))


def _origins(value: object) -> object:
    """Raises ValueError for what is no origin of a page: scheme, host and perhaps a port."""
    if not isinstance(value, str):
        return value
    origins = tuple(part.strip() for part in value.split(",")) if value else ()
    for origin in origins:
        url = split(origin, {"http", "https"}, "https://shop.example.com")
        if origin != f"{url.scheme}://{url.netloc}" or "@" in url.netloc:
            raise ValueError("an origin is a scheme and a host, such as https://shop.example.com")
    return origins


def _admin_port(value: object) -> object:
    """A port; None for `same` and 0 for `off`. Raises ValueError."""
    if not isinstance(value, str):
        return value
    if value in {"same", "off"}:
        return None if value == "same" else 0
    if not re.fullmatch(r"\d{1,5}", value) or not 1 <= int(value) <= HIGHEST_PORT:
        raise ValueError("it is a port, `same` or `off`")
    return int(value)


OptionalRate: TypeAlias = Annotated[RequestRate | None, NoDecode, BeforeValidator(_rate)]


class AccessSettings(BaseModel):
    """Who is let in over HTTP, and what is there for whom; see docs/settings.md and chassis/auth.

    With `auth` off nobody is asked who they are. In production an issuer has TLS.
    """

    profile: Literal["development", "production"] = "development"
    auth: Literal["jwt", "off"] = "jwt"
    auth_issuer: HttpUrl | None = Field(default=None, validate_default=True)
    auth_audience: str = Field(default="saga", min_length=1)
    auth_jwks_url: HttpUrl | None = None
    auth_subject_claim: str = Field(default="sub", pattern="^[A-Za-z0-9_.:/-]+$")
    auth_clock_skew_s: float = Field(default=30.0, ge=0, le=300)
    http_rate_per_subject: OptionalRate = None
    http_rate_per_address: OptionalRate = None
    http_cors_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_origins)] = ()
    http_admin_port: Annotated[int | None, BeforeValidator(_admin_port)] = None

    @field_validator("auth_issuer", "auth_jwks_url")
    @classmethod
    def _is_an_issuer(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url is None:
            if info.field_name == "auth_issuer" and info.data.get("auth") == "jwt":
                raise ValueError(
                    "it names who issues the tokens of callers; X_AUTH=off asks for none"
                )
        elif info.data.get("profile") == "production" and not url.startswith("https://"):
            raise ValueError("in production it begins with https://")
        return url


class ProcessSettings(AccessSettings, HttpLimits, KafkaSettings, SecretSettings):
    """Read once, at start; a malformed one fails the start with its name. Port 0 is any free one."""

    http_host: str = Field(default="127.0.0.1", min_length=1, pattern=r"^\S+$")
    http_port: int = Field(default=8000, ge=0, le=HIGHEST_PORT)
    log_level: LogLevel = "INFO"


class ServiceSettings(ProcessSettings):
    """What was published is kept for `outbox_keep_days`; within `send_timeout_s` it has to be acknowledged.

    Under load a batch is taken each `batch_every_ms`, and sent each `send_every_ms` (docs/performance.md).
    While it is idle it looks each `outbox_look_ms` for rows that another process has written.
    A process that sends no heartbeat for `session_timeout_s` loses its partitions. With `trace_statements`
    statements of the database are spans too, where spans are exported.
    """

    outbox_keep_days: Days = 7
    fast_paths: FastPaths = ALL_FAST_PATHS
    batch_every_ms: Milliseconds = 25
    send_every_ms: Milliseconds = 0
    outbox_look_ms: int = Field(default=100, ge=20, le=1000)
    send_timeout_s: float = Field(default=15.0, ge=1, le=120)
    session_timeout_s: float = Field(default=SESSION_S, ge=1, le=10)
    topic_layout: TopicLayout = TopicLayout.LANES
    trace_statements: bool = False

    def new_session_timeout(self) -> SessionTimeout:
        """As a process begins; it becomes longer where it has to."""
        return SessionTimeout(self.session_timeout_s)


class DatabaseSettings(ProcessSettings):
    """postgresql://role:password@host:port/name; `database_owner_*` are of who owns the tables."""

    database_url: PostgresUrl
    database_password: Secret = NO_SECRET
    database_ca_file: ReadableFile | None = None
    database_cert_file: ReadableFile | None = None
    database_key_file: ReadableFile | None = None
    database_owner_url: PostgresUrl | None = None
    database_owner_password: Secret = NO_SECRET

    @field_validator("database_password", "database_owner_password")
    @classmethod
    def _is_no_second_one(cls, password: Secret, info: ValidationInfo) -> Secret:
        return _only_password(
            password, info.data.get(str(info.field_name).replace("password", "url"))
        )

    @field_validator("database_key_file")
    @classmethod
    def _belongs_to_a_certificate(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if key is not None and info.data.get("database_cert_file") is None:
            raise ValueError("it has no effect without a certificate")
        return key


class PostgresSettings(DatabaseSettings, ServiceSettings):
    """A service whose state is in its database.

    Which messages were decided, and what requests were answered, is known for `inbox_keep_days`: longer
    than anything is delivered again, and than a saga takes to come to its last state.
    """

    inbox_keep_days: Annotated[Days, Field(ge=1)] = 30

    @property
    def kept(self) -> dict[str, int]:
        """For how many days, as a store takes it."""
        return {"keep_days": self.outbox_keep_days, "inbox_keep_days": self.inbox_keep_days}


class RedisSettings(ServiceSettings):
    """A service with a database in Redis: redis://user:password@host:port/number, or rediss:// with TLS.

    With `redis_sentinels` the host of the URL is the name that they have for the primary; they are asked
    with TLS where it is, and know users of their own.
    """

    redis_url: RedisUrl
    redis_password: Secret = NO_SECRET
    redis_ca_file: ReadableFile | None = None
    redis_sentinels: Sentinels = ()
    redis_sentinel_password: Secret = NO_SECRET
    redis_sentinel_user: str = Field(default="", pattern=r"^\S*$")

    @field_validator("redis_password")
    @classmethod
    def _is_the_only_one(cls, password: Secret, info: ValidationInfo) -> Secret:
        return _only_password(password, info.data.get("redis_url"))

    @field_validator("redis_sentinels")
    @classmethod
    def _name_the_primary(cls, places: SentinelPlaces, info: ValidationInfo) -> SentinelPlaces:
        url = info.data.get("redis_url")
        if places and url is not None and urlsplit(url.read()).port is not None:
            raise ValueError(
                "the URL has a port: with sentinels its host is the primary's name alone"
            )
        return places

    @field_validator("redis_sentinel_password")
    @classmethod
    def _is_of_sentinels(cls, password: Secret, info: ValidationInfo) -> Secret:
        if password and info.data.get("redis_sentinels") == ():
            raise ValueError("it has no effect without sentinels")
        return password

    @field_validator("redis_sentinel_user")
    @classmethod
    def _has_its_password(cls, user: str, info: ValidationInfo) -> str:
        if user and info.data.get("redis_sentinel_password") == NO_SECRET:
            raise ValueError("it has no effect without a password of the sentinels")
        return user

    @field_validator("redis_ca_file")
    @classmethod
    def _is_for_tls(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        url = info.data.get("redis_url")
        if file is not None and url is not None and not url.read().startswith("rediss:"):
            raise ValueError("it has no effect with a URL that does not begin with rediss://")
        return file


class ProviderSettings(PostgresSettings):
    """A service that calls an outside party: at most so many calls at once, each for so long."""

    provider_concurrency: int = Field(default=50, ge=1, le=10_000)
    provider_timeout_s: PositiveSeconds = 10.0


class TracingSettings(BaseSettings):
    """OpenTelemetry's own variable; without it no span is kept."""

    model_config = SettingsConfigDict(env_prefix="OTEL_EXPORTER_OTLP_", env_ignore_empty=True)

    endpoint: HttpUrl | None = None
