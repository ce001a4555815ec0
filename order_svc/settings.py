from typing import Literal

from pydantic_settings import SettingsConfigDict

from chassis.settings import PostgresSettings


class Settings(PostgresSettings):
    model_config = SettingsConfigDict(env_prefix="ORDER_")

    patience_s: float = 300.0
    acknowledge: Literal["committed", "published"] = "committed"
    acknowledge_timeout_s: float = 5.0
