"""Settings that every service has; each reads them with its own prefix, such as ORDER_HTTP_PORT."""

from pydantic_settings import BaseSettings


class ServiceSettings(BaseSettings):
    """Read once, at start; a missing or malformed one fails the start with its name."""

    kafka_bootstrap: str
    http_host: str = "127.0.0.1"
    http_port: int = 8000
    log_level: str = "INFO"


class PostgresSettings(ServiceSettings):
    """A service with a database of its own: postgresql://role:password@host:port/name."""

    database_url: str
