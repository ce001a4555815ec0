from pydantic_settings import SettingsConfigDict

from chassis.process.settings import PostgresSettings, RedisSettings


class Settings(PostgresSettings, RedisSettings):
    model_config = SettingsConfigDict(env_prefix="INVENTORY_")
