from pydantic_settings import SettingsConfigDict

from chassis.process.settings import PostgresSettings, RedisUrl


class Settings(PostgresSettings):
    model_config = SettingsConfigDict(env_prefix="INVENTORY_")

    redis_url: RedisUrl
