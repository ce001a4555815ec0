from typing import Literal

from pydantic_settings import SettingsConfigDict

from chassis.settings import PostgresSettings


class Settings(PostgresSettings):
    """A customer is answered when the database has the order, or only when Kafka has it too."""

    model_config = SettingsConfigDict(env_prefix="ORDER_")

    patience_s: float = 300.0
    acknowledge: Literal["committed", "published"] = "committed"
