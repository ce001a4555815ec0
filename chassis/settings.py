"""Settings that every service has; each reads them with its own prefix, such as ORDER_HTTP_PORT."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings


class ServiceSettings(BaseSettings):
    """Read once, at start; a missing or malformed one fails the start with its name.

    Without an `operator_token` the operators' routes answer nobody. What was published is kept for
    `outbox_keep_days` more days, as a broker may lose what it has acknowledged.
    """

    kafka_bootstrap: str
    http_host: str = "127.0.0.1"
    http_port: int = 8000
    log_level: str = "INFO"
    operator_token: SecretStr = SecretStr("")
    outbox_keep_days: int = Field(default=7, ge=0)


class PostgresSettings(ServiceSettings):
    """A service with a database of its own: postgresql://role:password@host:port/name.

    Which messages were decided, and what requests were answered, is known for `inbox_keep_days`: longer
    than anything is delivered again, and than an order takes to come to its last state.
    """

    database_url: str
    inbox_keep_days: int = Field(default=30, ge=1)

    @property
    def kept(self) -> dict[str, int]:
        """For how many days, as a store takes it."""
        return {"keep_days": self.outbox_keep_days, "inbox_keep_days": self.inbox_keep_days}


class ProviderSettings(PostgresSettings):
    """A service that calls an outside party: at most so many calls at once, each for so long."""

    provider_concurrency: int = Field(default=50, ge=1)
    provider_timeout_s: float = Field(default=10.0, gt=0)
